"""Which joints of a MuJoCo model are read and commanded from outside."""

from __future__ import annotations

import numpy as np
import pytest

from samg_ros.errors import SimulationError
from sim_bridge.task import make_task

# The renderer comes first: it chooses the OpenGL backend before mujoco is imported.
pytest.importorskip("sim_bridge.render.renderer", reason="needs the [sim] extra")
mujoco = pytest.importorskip("mujoco", reason="needs the [sim] extra")

from sim_bridge.tasks.model_joints import ModelJoints, actuator_commands

ROBOT = """
<mujoco>
  <worldbody>
    <body name="thing" pos="0 0 3"><freejoint name="floats"/><geom size="0.1"/></body>
    <body name="arm">
      <joint name="shoulder" axis="0 1 0"/><geom type="capsule" fromto="0 0 0 1 0 0" size="0.1"/>
      <body name="hand" pos="1 0 0">
        <joint name="slide" type="slide" axis="1 0 0"/><geom size="0.1"/>
        <site name="tip"/>
      </body>
    </body>
  </worldbody>
  <tendon>
    <fixed name="idle"><joint joint="slide" coef="1"/></fixed>
    <fixed name="both">
      <joint joint="shoulder" coef="0.5"/><joint joint="slide" coef="-2"/>
    </fixed>
  </tendon>
  <actuator>
    <general name="a" joint="shoulder" ctrlrange="-1 2" gear="3" ctrllimited="true"/>
    <general name="b" tendon="both" ctrlrange="-4 5" ctrllimited="true"/>{more}
  </actuator>
</mujoco>
"""


def model_of(more: str = "") -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(ROBOT.replace("{more}", more))


def test_free_joints_are_left_out_and_driven_tendons_read() -> None:
    model = model_of()
    data = mujoco.MjData(model)
    data.joint("shoulder").qpos, data.joint("slide").qpos = 0.3, 0.05
    data.joint("shoulder").qvel, data.joint("slide").qvel = 1.0, -2.0
    mujoco.mj_forward(model, data)
    joints = ModelJoints(model)
    assert joints.names == ("shoulder", "slide", "both")
    np.testing.assert_allclose(joints.position(data), [0.3, 0.05, data.tendon("both").length[0]])
    np.testing.assert_allclose(joints.velocity(data), [1, -2, data.tendon("both").velocity[0]])
    np.testing.assert_allclose(joints.position(data)[2], 0.05)


def test_commands_are_named_after_what_the_actuator_moves() -> None:
    commands = actuator_commands(model_of(), "position")
    assert commands.names == ("shoulder", "both")
    assert (commands.low, commands.high) == ((-1, -4), (2, 5))
    efforts = actuator_commands(model_of(), "effort")
    assert (efforts.low, efforts.high) == ((-3, -4), (6, 5))


def test_an_actuator_that_moves_no_joint_is_refused() -> None:
    thruster = '<motor name="jet" site="tip" ctrlrange="0 1" ctrllimited="true"/>'
    with pytest.raises(SimulationError, match="jet"):
        actuator_commands(model_of(thruster), "effort")


def test_the_quadruped_is_commanded_by_position_and_its_root_is_not_published() -> None:
    task = make_task("quadruped_walk", height=8, width=8)
    try:
        spec = task.spec
        assert spec.command_mode == "position" and "root" not in spec.joint_names
        assert {"yaw_front_left", "lift_front_left", "extend_front_left"} <= set(spec.joint_names)
        assert len(spec.joint_names) == 16 + 8 and spec.action_size == 12
        index = spec.actuated_joints.index("lift_back_right")
        assert (spec.command_low[index], spec.command_high[index]) == (-1.0, 1.1)
        task.reset(0)
        target = np.zeros(12)
        target[index] = 0.5
        for _ in range(30):
            task.step(target)
        reached = task.joint_state().position[spec.joint_names.index("lift_back_right")]
        assert reached == pytest.approx(0.5, abs=0.2)  # it carries its weight
    finally:
        task.close()


def test_units_and_limits_of_what_is_read() -> None:
    joints = ModelJoints(model_of())
    assert joints.units == ("rad", "m", "rad")
    assert joints.limits == ((-np.inf, np.inf),) * 3
    limited = ROBOT.replace('type="slide"', 'type="slide" range="-.5 .2" limited="true"')
    limited = limited.replace('name="both"', 'name="both" range="-3 4" limited="true"')
    model = mujoco.MjModel.from_xml_string(limited.replace("{more}", ""))
    assert ModelJoints(model).limits == ((-np.inf, np.inf), (-0.5, 0.2), (-3, 4))
