"""Parameters: declared once in a dataclass, checked, described in words."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from dataclasses import dataclass

import pytest

from policies.node.policy_config import PolicyNodeConfig
from samg_ros.errors import ConfigError
from samg_ros.masking.config import MaskerConfig
from samg_ros.nodes.config import MaskerNodeConfig, RecorderConfig
from samg_ros.parameters import documented, parameter, parameters_of, validate


@documented
@dataclass(frozen=True)
class Oven:
    """How bread is baked."""

    heat: float = parameter(220.0, "temperature of the air", unit="deg C", low=30, high=300)
    loaves: int = parameter(1, "how many", low=1)
    crust: str = parameter("crisp", "what the outside is like", choices=("soft", "crisp"))
    names: list[str] = parameter([], "who they are for")
    steam: bool = parameter(True, "whether water is added")
    internal: int = 5

    def __post_init__(self) -> None:
        validate(self)


class TestDeclaring:
    def test_fields_keep_order_type_and_default(self):
        declared = parameters_of(Oven)
        assert [p.name for p in declared] == ["heat", "loaves", "crust", "names", "steam"]
        assert [p.type for p in declared] == [float, int, str, list[str], bool]
        assert [p.default for p in declared] == [220.0, 1, "crisp", [], True]
        assert parameters_of(Oven()) == declared

    def test_a_field_is_an_ordinary_one(self):
        assert Oven() == Oven(220.0, 1, "crisp", [], True, 5)
        assert dataclasses.replace(Oven(), loaves=3).loaves == 3

    def test_default_lists_are_not_shared(self):
        Oven().names.append("Ada")
        parameters_of(Oven)[3].default.append("Ada")
        assert Oven().names == parameters_of(Oven)[3].default == []

    def test_no_parameters(self):
        assert parameters_of(dataclasses.make_dataclass("Empty", [("size", int)])) == []


class TestDescribing:
    @pytest.mark.parametrize(
        ("place", "text"),
        [
            (0, "temperature of the air (deg C; 30 to 300)"),
            (1, "how many (1 to any)"),
            (2, "what the outside is like (soft | crisp)"),
            (3, "who they are for"),
        ],
    )
    def test_in_words(self, place: int, text: str):
        assert parameters_of(Oven)[place].describe() == text

    def test_large_bounds_are_written_out(self):
        declared = parameters_of(
            dataclasses.make_dataclass("C", [("s", int, parameter(0, "seed", high=2**31 - 1))])
        )
        assert declared[0].describe() == "seed (any to 2147483647)"

    def test_documented_adds_them_to_the_docstring(self):
        first, *rest = (line for line in Oven.__doc__.splitlines() if line)
        assert first == "How bread is baked."
        assert rest[0] == ":param heat: temperature of the air (deg C; 30 to 300)"
        assert [line.split(":")[1] for line in rest] == [
            f"param {p.name}" for p in parameters_of(Oven)
        ]

    def test_documented_gives_the_class_back(self):
        cls = dataclasses.make_dataclass("Bare", [("n", int, parameter(1, "number"))])
        cls.__doc__ = None
        assert documented(cls) is cls and ":param n: number" in cls.__doc__


class TestChecking:
    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"heat": 29.9}, r"heat is 29\.9; it must be within 30 to 300 deg C"),
            ({"heat": 301}, "heat is 301; it must be within 30 to 300 deg C"),
            ({"heat": float("nan")}, "heat is nan"),
            ({"heat": float("inf")}, "heat is inf"),
            ({"loaves": 0}, "loaves is 0; it must be at least 1"),
            ({"crust": "burnt"}, "crust is 'burnt'; choose one of: soft, crisp"),
            ({"crust": ""}, "crust is ''; choose one of"),
        ],
    )
    def test_out_of_range(self, values: dict, message: str):
        with pytest.raises(ConfigError, match=message):
            Oven(**values)

    @pytest.mark.parametrize(
        "values", [{"heat": 30}, {"heat": 300.0}, {"loaves": 10**9}, {"crust": "soft"}]
    )
    def test_bounds_are_inclusive(self, values: dict):
        assert Oven(**values)

    def test_the_first_one_is_told(self):
        with pytest.raises(ConfigError, match="heat is 0"):
            Oven(crust="burnt", heat=0)

    def test_replacing_checks_again(self):
        with pytest.raises(ConfigError, match="loaves"):
            dataclasses.replace(Oven(), loaves=-1)


class TestOfThePackage:
    @pytest.mark.parametrize(
        "config", [MaskerConfig, MaskerNodeConfig, PolicyNodeConfig, RecorderConfig]
    )
    def test_are_all_declared_with_a_description(self, config: type):
        declared = {p.name: p for p in parameters_of(config)}
        assert set(declared) == {field.name for field in dataclasses.fields(config)}
        assert all(p.help for p in declared.values())
        for p in declared.values():
            p.check(p.default)
            assert f":param {p.name}: {p.describe()}" in config.__doc__

    def test_import_without_ros(self):
        """The command line reads them where there is no rclpy."""
        modules = {
            config.__module__ for config in (MaskerNodeConfig, PolicyNodeConfig, RecorderConfig)
        }
        imports = "".join(f"import {name}\n" for name in sorted(modules))
        code = f"import sys\nsys.modules['rclpy'] = None\n{imports}"
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"precision": "fp8"}, "precision is 'fp8'; choose one of: auto, fp32, bf16, fp16"),
            ({"input_size": 4096}, "input_size is 4096; it must be within 0 to 2048 px"),
            ({"min_score": 1.1}, r"min_score is 1\.1; it must be within 0 to 1"),
            ({"refine_steps": -1}, "refine_steps is -1; it must be within 0 to 4"),
        ],
    )
    def test_maskers_ranges(self, values: dict, message: str):
        with pytest.raises(ConfigError, match=message):
            MaskerConfig(**values)
