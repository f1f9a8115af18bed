"""Everything an evaluation can be refused for, before anything runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from policies.base import Policy, PolicySpec
from policies.eval_config import SAMG, TASK, EvalConfig
from policies.eval_records import Cell, Episode
from policies.eval_run import World
from policies.fit import Robot, check_fit
from policies.registry import load_policy
from samg_ros.errors import CheckpointError
from samg_ros.masking.reference import find_reference
from samg_ros.models.integrity import sha256_of
from sim_bridge.perturbations import make_perturbation
from sim_bridge.task import TaskSpec, make_task, tasks


@dataclass(frozen=True)
class Prepared:
    """An evaluation that can be run.

    ``cells``: in the order in which they are run. ``policies``: by task and by what results call
    them. ``sources``: the registered name or path of each, by the same. ``specs``: by task.
    """

    config: EvalConfig
    cells: tuple[Cell, ...]
    policies: Mapping[tuple[str, str], Policy]
    sources: Mapping[tuple[str, str], str]
    specs: Mapping[str, TaskSpec]

    @property
    def episodes(self) -> list[Episode]:
        """All of them."""
        return [Episode(cell, seed) for cell in self.cells for seed in self.config.seeds]

    def world(self, cell: Cell) -> World:
        """Where a cell's episodes take place: the camera is as the policy was trained with."""
        size = self.policies[cell.task, cell.policy].spec.image_size
        return World(cell.task, self.config.looks[cell.perturb], size)

    def of_task(self, task: str) -> dict[str, Policy]:
        """A task's policies by name."""
        return {name: policy for (of, name), policy in self.policies.items() if of == task}

    def fingerprints(self) -> dict[str, str]:
        """By policy and task, what tells one checkpoint from another under the same name."""
        return {
            f"{name} of {task}": _fingerprint(policy)
            for (task, name), policy in self.policies.items()
        }

    def references(self) -> dict[str, str]:
        """By task, what tells the masker's reference from another; of tasks that it masks."""
        masked = dict.fromkeys(cell.task for cell in self.cells if cell.mask == SAMG)
        return {task: sha256_of(find_reference(task))[:16] for task in masked}


def prepare(config: EvalConfig) -> Prepared:
    """Check all that was asked for; nothing is run or written.

    :raises SamgError: the first thing that cannot be used, and why.
    """
    looks, names = config.looks, config.policy_names
    chosen = tuple(dict.fromkeys(config.tasks))
    for task in chosen:
        tasks.get(task)
        for text in looks.values():
            make_perturbation(text, task)
    sources = {(t, n): text.replace(TASK, t) for t in chosen for n, text in names.items()}
    loaded = {key: load_policy(source, key[0]) for key, source in sources.items()}
    specs = {task: world_of(task) for task in chosen}
    for (task, name), policy in loaded.items():
        check_world(policy.spec, specs[task], sources[task, name])
    cells = [
        Cell(task, name, mask, look)
        for task in chosen
        for look in looks
        for name in names
        for mask in _masks(loaded[task, name].spec, config.masks)
    ]
    for cell in cells:
        if cell.mask == SAMG:
            find_reference(cell.task)
    return Prepared(config, tuple(cells), loaded, sources, specs)


def check_world(policy: PolicySpec, task: TaskSpec, name: str) -> None:
    """Whether a policy can drive a simulated task as it is in this release.

    :param name: of the policy, for the message.
    :raises CheckpointError: camera, joints, commands or rate differ.
    """
    camera, joints = task.default_camera, task.joint_names
    robot = Robot(camera, "", joints, task.actuated_joints, task.command_mode)
    check_fit(policy, robot, name)
    limits = np.array([policy.command_low, policy.command_high])
    same = (
        policy.actuated_joints == task.actuated_joints
        and np.allclose(limits, [task.command_low, task.command_high])
        and np.isclose(policy.control_dt_s, task.control_dt_s)
    )
    if not same:
        raise CheckpointError(
            f"policy {name!r} was trained for another version of task {task.name!r}: the order of "
            "its joints, the limits of its commands or the time of a control step differ. Train "
            "it again, or use the release that wrote it"
        )


def world_of(task: str) -> TaskSpec:
    """What a simulated task says of itself. :raises SamgError: it cannot be made."""
    made = make_task(task, height=64, width=64)
    made.close()
    return made.spec


def _masks(policy: PolicySpec, asked: Iterable[str]) -> tuple[str, ...]:
    """What a policy is shown: a twin that learned without masks, only what it learned from."""
    return tuple(dict.fromkeys(asked)) if policy.mask == "targets" else (policy.mask,)


def _fingerprint(policy: Policy) -> str:
    network = getattr(policy, "network", None)
    if network is None:
        return "no weights"
    digest = hashlib.sha256(repr(policy.spec).encode())
    for name, tensor in network.state_dict().items():
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
