"""A folder with our five exports of one job -> what pycocotools, supervision and Label Studio's SDK read in them.

In it: coco.json, yolo/ and voc/ (unpacked), labelstudio.json, config.xml, and sizes.json (file name -> width, height).
"""

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import supervision
from label_studio_sdk.converter import Converter
from label_studio_sdk.label_interface import LabelInterface
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def told(dataset: supervision.DetectionDataset) -> dict[str, Any]:
    """Boxes and class names by file name."""
    return {
        Path(path).name: [
            [*box, dataset.classes[number]]
            for box, number in zip(found.xyxy.tolist(), found.class_id.tolist() if len(found) else [], strict=True)
        ]
        for path, _, found in dataset
    }


def evaluated(folder: Path) -> dict[str, Any]:
    """Our own detections as the truth and as the answer, by COCO's evaluation."""
    path = str(folder / "coco.json")
    truth = COCO(path)
    results = [
        {name: one[name] for name in ("image_id", "category_id", "bbox", "score")}
        for one in json.loads(Path(path).read_text())["annotations"]
    ]
    scored = COCOeval(truth, truth.loadRes(results), "bbox")
    scored.evaluate()
    scored.accumulate()
    scored.summarize()
    return {
        "score": scored.stats[:2].tolist(),
        "images": [one["file_name"] for one in truth.loadImgs(sorted(truth.getImgIds()))],
        "categories": {one["name"]: one["id"] for one in truth.loadCats(truth.getCatIds())},
        "of_dogs": len(truth.getImgIds(catIds=truth.getCatIds(catNms=["dog"]))),
    }


def label_studio(folder: Path) -> dict[str, Any]:
    """What is wrong with each task, and the pictures that its own converter makes of the annotated ones."""
    config = (folder / "config.xml").read_text()
    tasks = json.loads((folder / "labelstudio.json").read_text())
    interface = LabelInterface(config)
    wrong = [
        interface.validate_prediction(prediction, return_errors=True)
        for task in tasks
        for prediction in task.get("predictions", ())
    ]
    annotated = [
        {"id": k, "data": task["data"], "annotations": [{"id": k, "result": one["result"]}]}
        for k, task in enumerate(tasks)
        for one in task.get("predictions", ())
    ]
    (folder / "annotated.json").write_text(json.dumps(annotated))
    converter = Converter(config, str(folder), download_resources=False)
    converter.convert_to_coco(str(folder / "annotated.json"), str(folder / "back"), is_dir=False)
    back = json.loads((folder / "back" / "result.json").read_text())
    names = {one["id"]: one["name"] for one in back["categories"]}
    boxes = [[*one["bbox"], names[one["category_id"]]] for one in back["annotations"]]
    return {"wrong": wrong, "boxes": boxes}


folder = Path(sys.argv[1])
images = folder / "images"
images.mkdir()
for name, size in json.loads((folder / "sizes.json").read_text()).items():
    Image.new("RGB", size).save(images / name)
with contextlib.redirect_stdout(io.StringIO()):
    read = {
        "coco": evaluated(folder),
        "supervision": {
            "coco": told(supervision.DetectionDataset.from_coco(str(images), str(folder / "coco.json"))),
            "yolo": told(
                supervision.DetectionDataset.from_yolo(
                    str(images), str(folder / "yolo" / "labels"), str(folder / "yolo" / "data.yaml")
                )
            ),
            "voc": told(supervision.DetectionDataset.from_pascal_voc(str(images), str(folder / "voc" / "Annotations"))),
        },
        "labelstudio": label_studio(folder),
    }
print(json.dumps(read))
