"""ament_python and pip packaging in one: both install the same nodes, launch files and configs."""

import os
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "samg_ros"
SHARE = f"share/{PACKAGE}"
NODES = ("bridge_node", "masker_node", "policy_node", "recorder_node")

# A sourced ROS distribution brings its own rclpy and cv_bridge: then no ROS wheel is asked for.
ROS_WHEELS = [
    "ros-rclpy[fastrtps]==9.1.2",
    "ros-std-msgs==5.5.1",
    "ros-sensor-msgs==5.5.1",
    "ros-std-srvs==5.5.1",
    "ros-geometry-msgs==5.5.1",
    "ros-trajectory-msgs==5.5.1",
    "ros-diagnostic-msgs==5.5.1",
    "ros-lifecycle-msgs==2.3.0",
]
EXTRAS = {
    "sim": [
        "mujoco>=3.17,<4",
        "dm_control>=1.0.50",
        "gymnasium>=1.4,<2",
        "gymnasium-robotics>=1.4,<2",
        "scikit-image",
        "scipy>=1.15",
    ],
    "ros": [] if os.environ.get("ROS_DISTRO") else ROS_WHEELS,
    "bag": ["rosbags==0.11.9", "mcap>=1.2", "zstandard"],
    "models": ["kornia>=0.8.2,<0.10"],  # the encoders of MobileSAM and EfficientViT-SAM
    "weights": ["onnx>=1.16", "flatbuffers"],  # read the originals of SAM 2 and DINOv2
    "train": ["stable-baselines3>=2.9,<3", "matplotlib", "tensorboard>=2.16"],
}
EXTRAS["all"] = sorted({need for needs in EXTRAS.values() for need in needs})
EXTRAS["ray"] = ["ray>=2.9"]
EXTRAS["test"] = ["pytest"]
EXTRAS["dev"] = [
    "pytest",
    "pytest-xdist",
    "hypothesis",
    "onnxruntime>=1.18",
    "ruff",
    "mypy",
    "shimmy[dm-control]>=2,<3",
]


def files(folder: str) -> list[str]:
    """Paths of the plain files in ``folder``, as data_files wants them."""
    return sorted(str(path) for path in Path(folder).iterdir() if path.is_file())


setup(
    name=PACKAGE,
    version="0.1.0",
    description="Finds a task's objects in camera images and removes everything else, so that "
    "robot policies survive a changed world: SAM-G's masks as ROS 2 nodes and from Python",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    keywords="ROS 2, SAM-G, segmentation, masked observations, robot learning",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    license="Apache-2.0",
    maintainer="samg_ros developers",
    maintainer_email="samg-ros@users.noreply.github.com",
    python_requires=">=3.10",
    packages=find_packages(include=["samg_ros*", "sim_bridge*", "policies*"]),
    package_data={"": ["*.npz", "references/*.npz", "*.safetensors", "py.typed"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (SHARE, ["package.xml"]),
        (f"{SHARE}/launch", files("launch")),
        (f"{SHARE}/config", files("config")),
        (f"lib/{PACKAGE}", [f"resource/bin/{node}" for node in NODES]),
    ],
    entry_points={
        "console_scripts": ["samg = samg_ros.cli:main"],
        "samg.commands": [
            "bench = sim_bridge.bench:main",
            "demo = policies.cli.demo:main",
            "eval = policies.cli.eval:main",
            "mask = samg_ros.cli.mask:main",
            "models = samg_ros.cli.models:main",
            "node = samg_ros.cli.node:main",
            "policies = policies.cli.policies:main",
            "reference = samg_ros.cli.reference:main",
            "sim = sim_bridge.cli:main",
            "train = policies.cli.train:main",
            "weights = samg_ros.cli.weights:main",
        ],
        "samg.bench": [
            "masker = sim_bridge.bench.masker:masker",
            "masks = sim_bridge.bench.masks:masks",
            "policy = policies.bench.policy:policy",
            "sim = sim_bridge.bench.sim:sim",
        ],
        "samg.nodes": [
            "bridge = sim_bridge.bridge.node:main",
            "masker = samg_ros.nodes.masker_node:main",
            "policy = policies.node.policy_node:main",
            "recorder = samg_ros.nodes.recorder_node:main",
        ],
        "samg.reference": [
            "clicks = samg_ros.cli.reference:clicks",
            "files = samg_ros.cli.reference_files:files",
            "sim = sim_bridge.cli.reference:sim",
        ],
        "samg.sim": [
            "list = sim_bridge.cli.list:list_tasks",
            "preview = sim_bridge.cli.preview:preview",
        ],
    },
    install_requires=[
        "numpy>=1.24",
        "torch>=2.4",
        "transformers>=5.18,<6",  # DINOv2's tensors have other names before
        "opencv-python",
        "segment-anything",
        "safetensors",
        "huggingface_hub",
        "tyro",
        "rich",
        "PyYAML",
        "pillow",  # reads the sizes that pictures claim
    ],
    extras_require=EXTRAS,
    zip_safe=False,
)
