"""Everything an evaluation can be refused for, before anything runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from policies.base import Policy
from policies.episode import Cell, Episode
from policies.eval.config import SAMG, TASK, EvalConfig
from policies.eval.runner import World
from policies.fit import Robot, check_fit
from policies.registry import load_policy
from samg_ros.errors import CheckpointError
from samg_ros.io.atomic import sha256_of
from samg_ros.masking.config import MaskerConfig
from samg_ros.masking.reference import find_reference
from samg_ros.robot import PolicySpec
from sim_bridge.perturbations.grammar import make_perturbation, parse
from sim_bridge.scenes.scene import world_of
from sim_bridge.task import TaskSpec, tasks


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
        joints = self.specs[cell.task].joint_names
        return World(cell.task, self.config.perturbations[cell.perturb], size, joints)

    def of_task(self, task: str) -> dict[str, Policy]:
        """A task's policies by name."""
        return {name: policy for (of, name), policy in self.policies.items() if of == task}

    def fingerprints(self) -> dict[str, str]:
        """By policy and task, what distinguishes checkpoints of the same name."""
        return {
            f"{name} of {task}": _fingerprint(policy)
            for (task, name), policy in self.policies.items()
        }

    def references(self) -> dict[str, str]:
        """By task, what distinguishes the masker's references; of tasks that it masks."""
        masked = dict.fromkeys(cell.task for cell in self.cells if cell.mask == SAMG)
        return {task: sha256_of(find_reference(task))[:16] for task in masked}


def prepare(config: EvalConfig) -> Prepared:
    """Check all that was asked for; nothing is run or written.

    :raises SamgError: the first thing that cannot be used, and why.
    """
    looks, names = config.perturbations, config.policy_names
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


def perturbed_files(looks: Iterable[str]) -> dict[str, str]:
    """By term and last part of its path: a digest of the file, or of what the folder holds.

    :param looks: texts of perturbations. Of a folder of clips the names and sizes count.
    """
    paths = {
        (term.name, Path(term.argument).expanduser())
        for look in looks
        for term in parse(look)
        if "/" in term.argument
    }
    return {f"{name}={path.name}": _digest(path) for name, path in sorted(paths)}


def weight_files(masker: MaskerConfig) -> dict[str, str]:
    """By option: digests of weights that were named; what is found by itself is pinned anyway."""
    named = {n: Path(v).expanduser() for n, v in asdict(masker).items() if n.endswith("_weights")}
    return {name: _digest(path) for name, path in named.items() if path.is_file()}


def _digest(path: Path) -> str:
    if path.is_file():
        return sha256_of(path)[:16]
    files = sorted(file for file in path.rglob("*") if file.is_file())
    listing = "\n".join(f"{file.relative_to(path)} {file.stat().st_size}" for file in files)
    return hashlib.sha256(listing.encode()).hexdigest()[:16]
