"""The names of the simulated pipeline's topics, as nodes and remappings give them."""

RAW = "/image_raw"
CAMERA_INFO = "/camera_info"
JOINT_STATES = "/joint_states"
COMMAND = "/joint_command"
CLOCK = "/clock"
TRUTH = "/bridge/mask_truth"
EPISODE = "/bridge/episode"
MASKED = "/masker/image"
MASK = "/masker/mask"
DIAGNOSTICS = "/diagnostics"

RECORDED = (
    RAW,
    CAMERA_INFO,
    JOINT_STATES,
    COMMAND,
    CLOCK,
    TRUTH,
    EPISODE,
    MASKED,
    MASK,
    DIAGNOSTICS,
)
