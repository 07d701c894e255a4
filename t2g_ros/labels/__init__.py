"""Label spaces (names, ids, colours) and the only place that knows how one maps onto another."""

from t2g_ros.labels.groups import GROUPS, common_space, group_matrix, remap_table, supervision_matrix
from t2g_ros.labels.raw_ids import RAW_IDS, RawIds, camvid32_from_colors
from t2g_ros.labels.spaces import CAMVID11, CAMVID32, CITYSCAPES19, DGVSS15, IGNORE, SPACES, LabelSpace, space

__all__ = [
    "CAMVID11",
    "CAMVID32",
    "CITYSCAPES19",
    "DGVSS15",
    "GROUPS",
    "IGNORE",
    "RAW_IDS",
    "SPACES",
    "LabelSpace",
    "RawIds",
    "camvid32_from_colors",
    "common_space",
    "group_matrix",
    "remap_table",
    "space",
    "supervision_matrix",
]
