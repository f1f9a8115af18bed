"""Every parameter of ``samg eval``, with its only default; and how a run records what it was."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from samg_ros.errors import ConfigError
from samg_ros.io.run_folder import command_line
from samg_ros.masking.config import LOST_BEHAVIOURS, MaskerConfig
from samg_ros.parameters import documented, parameter, validate
from sim_bridge.scenes import MASKS as SIMULATED

SAMG = "samg"
MASKS = (SAMG, *SIMULATED)
CLEAN = "none"
TASK = "{task}"
# What does not change any episode's result.
_ELSEWHERE = frozenset({"envs", "ray", "out", "json"})
# What a reader of results wants to see in any case.
_TOLD = frozenset({"tasks", "policies", "masks", "perturb", "episodes", "seed"})


@documented
@dataclass(frozen=True)
class EvalConfig:
    """Episodes of every task by every policy with every mask under every perturbation."""

    tasks: tuple[str, ...] = parameter(("adroit_door",), "tasks")
    policies: tuple[str, ...] = parameter(
        ("student",),
        "registered policies, or paths of checkpoints, in which {task} stands for the task; one "
        "that learned from raw or black pictures is shown those alone, whatever the masks",
    )
    masks: tuple[str, ...] = parameter(
        ("none", SAMG, "oracle"), f"what the policy is shown: {', '.join(MASKS)}"
    )
    perturb: tuple[str, ...] = parameter(
        (CLEAN, "photos"),
        "perturbations of how the tasks look, each a text such as "
        "video_hard=FOLDER,camera_pose=medium; none is what results are compared with",
    )
    episodes: int = parameter(20, "episodes of each combination", low=1, high=100_000)
    seed: int = parameter(
        0, "seed of the first episode; each further one adds 1", low=0, high=2_000_000_000
    )
    envs: int = parameter(
        0,
        "environments that advance together, one process each; their frames are masked as one "
        "batch. 0: one for each core",
        low=0,
        high=1024,
    )
    on_lost: str = parameter(
        "hold", "what a frame becomes when every target is lost", choices=LOST_BEHAVIOURS
    )
    via_ros: bool = parameter(
        False, "run the same episodes through the nodes of `samg demo`, one after the other"
    )
    ray: str = parameter(
        "",
        "address of a Ray cluster to spread the work over, or 'local' (tried with two nodes on "
        "one machine, not on several)",
    )
    out: str = parameter("", "folder of the run, resumed if it is there; by default a new one")
    json: bool = parameter(False, "print the results alone, as JSON")

    def __post_init__(self) -> None:
        validate(self)
        for name in ("tasks", "policies", "masks", "perturb"):
            if not getattr(self, name):
                raise ConfigError(f"{name} is empty; name at least one")
        for mask in self.masks:
            if mask not in MASKS:
                raise ConfigError(f"unknown mask {mask!r}; choose among: {', '.join(MASKS)}")
        if self.ray and self.via_ros:
            raise ConfigError("via_ros runs on this machine alone; leave out ray")

    @property
    def seeds(self) -> range:
        """The episodes' seeds, the same for every combination."""
        return range(self.seed, self.seed + self.episodes)

    @property
    def perturbations(self) -> dict[str, str]:
        """How each perturbation is called in results -> its text.

        :raises ConfigError: a text that cannot be read, or two that would be called the same.
        """
        return _named(self.perturb, perturbation_name, "perturb")

    @property
    def policy_names(self) -> dict[str, str]:
        """How each policy is called in results -> its name or path.

        :raises ConfigError: two would be called the same.
        """
        return _named(self.policies, policy_name, "policies")


def perturbation_name(text: str) -> str:
    """A perturbation without this machine's folders, of which only the last is kept."""
    from sim_bridge.perturbations.grammar import parse

    terms = parse(text)
    for term in terms:
        if "/" in term.argument:
            text = text.replace(term.argument, f"DIR/{Path(term.argument).name}")
    return ",".join(piece.strip() for piece in text.split(",")) if terms else CLEAN


def policy_name(text: str) -> str:
    """A policy without this machine's folders."""
    return Path(text).name


def settings(config: EvalConfig, masker: MaskerConfig) -> dict[str, Any]:
    """What results depend on: runs resumed in one folder must have it in common."""
    own = {k: v for k, v in asdict(config).items() if k not in _ELSEWHERE}
    own |= {"policies": list(config.policy_names), "perturb": list(config.perturbations)}
    if SAMG in config.masks:
        own["masker"] = _masker_settings(masker)
    return {name: list(v) if isinstance(v, tuple) else v for name, v in own.items()}


def command(config: EvalConfig, masker: MaskerConfig) -> str:
    """The command that repeats a run, with DIR for this machine's folders."""
    names, changes = tuple(config.policy_names), tuple(config.perturbations)
    named = replace(config, policies=names, perturb=changes)
    told = command_line("samg eval", named, _ELSEWHERE, _TOLD)
    if SAMG not in config.masks:
        return told
    return told + command_line("", MaskerConfig(**_masker_settings(masker)))


def _named(texts: tuple[str, ...], name: Any, what: str) -> dict[str, str]:
    named: dict[str, str] = {}
    for text in dict.fromkeys(texts):
        if name(text) in named:
            raise ConfigError(
                f"{what}: {named[name(text)]!r} and {text!r} would both be called {name(text)!r} "
                "in the results; rename one, or leave it for another run"
            )
        named[name(text)] = text
    return named


def _masker_settings(masker: MaskerConfig) -> dict[str, Any]:
    files = {n: Path(v).name for n, v in asdict(masker).items() if n.endswith("_weights")}
    return asdict(masker) | files
