"""Which options of a cfg may stand unread: those that change training alone. Others that no emitter reads are refused.

The names are those that `parser.c` of either fork asks for.
"""

from __future__ import annotations

from zoo.cfg import Section

EVERYWHERE = {
    "burnin_update",
    "clip",
    "dont_update",
    "dontsave",
    "learning_rate",
    "onlyforward",
    "smooth",
    "stopbackward",
    "stream",  # these two place work on a GPU
    "train_only_bn",
    "wait_stream",
}

_LOSS = {
    "cls_normalizer",
    "counters_per_class",
    "delta_normalizer",
    "focal_loss",
    "ignore_thresh",
    "iou_loss",
    "iou_normalizer",
    "iou_thresh",
    "iou_thresh_kind",
    "jitter",
    "label_smooth_eps",
    "max",
    "max_delta",
    "obj_normalizer",
    "objectness_smooth",
    "random",
    "resize",
    "show_details",
    "thresh",
    "truth_thresh",
    "uc_normalizer",
}
_SUPPRESSION = {"beta_nms", "beta1", "nms_kind"}
"""Done behind the model, for which the service has its own."""

_TRACKING = {
    "dets_for_show",
    "dets_for_track",
    "embedding_layer",
    "sim_thresh",
    "track_ciou_norm",
    "track_history_size",
}
_REGION_LOSS = {
    "absolute",
    "bias_match",
    "class_scale",
    "coord_scale",
    "forced",
    "log",
    "mask_scale",
    "noobject_scale",
    "object_scale",
    "rescore",
    "sqrt",
}
_REGION_FORMS = {"background", "classfix", "map", "softmax", "tree"}
"""Read by the head only where they matter, or beside the cfg."""

UNREAD: dict[str, set[str]] = {
    "convolutional": {
        "angle",
        "assisted_excitation",
        "bin_output",
        "dot",
        "grad_centr",
        "reverse",
        "rotate",
        "stretch",
        "stretch_sway",
        "sway",
    },
    "contrastive": {
        "classes",
        "cls_normalizer",
        "contrastive_neg_max",
        "max_delta",
        "temperature",
        "yolo_layer",
    },
    "cost": {"ratio", "scale", "type"},
    "dropout": {"dropblock", "dropblock_size_abs", "dropblock_size_rel", "probability"},
    "yolo": _LOSS | _SUPPRESSION | _TRACKING | {"map"},
    "gaussian_yolo": _LOSS | _SUPPRESSION | {"map"},
    "region": _LOSS | _REGION_LOSS | _REGION_FORMS,
}
"""The same by layer, besides `EVERYWHERE`."""


def check(section: Section) -> None:
    """Raise CfgError for an option that no emitter has asked for and that is not known to be of training alone.

    Darknet prints `Unused field` for it and goes on; but it may belong to a fork in which it changes what is computed.
    """
    known = EVERYWHERE | UNREAD.get(section.kind, set())
    unknown = [key for key in section.unread() if key not in known]
    if unknown:
        raise section.error(f"{unknown[0]}= is not a known option: remove it if darknet does not use it either")
