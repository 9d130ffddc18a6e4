"""The OpenAPI 3.1 description of the server, https://spec.openapis.org/oas/v3.1.0."""

from collections.abc import Sequence
from typing import Any

import chexnet
from chexnet.config.crops import CROPS
from chexnet.web.problems import MEDIA_TYPE
from chexnet.web.server_config import ServerConfig
from chexnet.web.uploads import MULTIPART, RAW_TYPES

PROBLEMS = {
    400: "The query or the form is malformed.",
    401: "The token is missing or wrong.",
    403: "The Host header names another server, or the request comes from another page.",
    408: "The upload is too slow.",
    413: "The request has too many bytes or images.",
    415: "The content type is not supported.",
    422: "No image can be read; `errors` gives the reason for each.",
    429: "The queue is full.",
    500: "The server failed.",
    503: "The server is shutting down, or there was no result in time.",
}
"""Status -> meaning, for the description."""

_PROBABILITY = {"type": "number", "minimum": 0, "maximum": 1}
_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}


def describe_api(config: ServerConfig, classes: Sequence[str]) -> dict[str, Any]:
    """Return the description of the routes with the limits of a server and the classes of its network."""
    security: list[dict[str, Any]] = [{"token": []}] if config.token else []
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "CheXNet",
            "version": chexnet.__version__,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
            "description": "Findings on frontal chest radiographs. Research use only, not for diagnosis. Images are "
            "in memory only.",
        },
        "servers": [{"url": "/"}],
        "paths": {
            "/v1/predict": {"post": _predict(config, classes, security)},
            "/v1/model": {"get": _get("Describe the network.", _json("Model"), security, (401, 403))},
            "/healthz": {"get": _get("Report that the server runs.", _json("Health"), [], (403, 500))},
            "/healthz/ready": {"get": _get("Report room for images.", _json("Health"), [], (403, 429, 500, 503))},
            "/metrics": {
                "get": _get(
                    "Return metrics.",
                    {media_type: {"schema": _TEXT} for media_type in ("text/plain", "application/openmetrics-text")},
                    security,
                    (401, 403),
                )
            },
            "/openapi.json": {
                "get": _get(
                    "Return this description.", {"application/json": {"schema": {"type": "object"}}}, [], (403,)
                )
            },
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(classes),
        },
    }


def _get(
    summary: str, content: dict[str, Any], security: list[dict[str, Any]], problems: tuple[int, ...]
) -> dict[str, Any]:
    responses = {"200": {"description": "Success.", "content": content}, **_problems(problems)}
    return {"summary": summary, "security": security, "responses": responses}


def _predict(config: ServerConfig, classes: Sequence[str], security: list[dict[str, Any]]) -> dict[str, Any]:
    image = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "description": f"Up to {config.max_images} files under any field names; other fields are refused.",
        "properties": {"image": {"type": "array", "items": image, "minItems": 1, "maxItems": config.max_images}},
        "required": ["image"],
        "additionalProperties": False,
    }
    raw: dict[str, Any] = {media_type: {"schema": image} for media_type in RAW_TYPES}
    return {
        "summary": "Predict one or several images.",
        "description": f"PNG, JPEG, TIFF, BMP, GIF, WebP, JPEG 2000, PPM or DICOM. A request has up to "
        f"{config.max_bytes:,} bytes. An image that cannot be read is in `errors`, the others are in `results`.",
        "security": security,
        "parameters": [
            {
                "name": "maps",
                "in": "query",
                "description": "Findings whose class maps are returned: `all`, or names of findings with commas.",
                "schema": {"type": "array", "items": {"enum": ["all", *classes]}},
                "style": "form",
                "explode": False,
            },
            {
                "name": "gray",
                "in": "query",
                "description": "Whether to return the image as read, an 8-bit PNG.",
                "schema": {"type": "boolean", "default": False},
            },
        ],
        "requestBody": {"required": True, "content": {MULTIPART: {"schema": form}, **raw}},
        "responses": {
            "200": {"description": "At least one image was predicted.", "content": _json("Predictions")},
            **_problems((400, 401, 403, 408, 413, 415, 422, 429, 500, 503)),
        },
    }


def _problems(statuses: tuple[int, ...]) -> dict[str, Any]:
    wait = {"Retry-After": {"description": "Seconds to wait.", "schema": _COUNT}}
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        str(status): {
            "description": PROBLEMS[status],
            "content": content,
            **({"headers": wait} if status in (429, 503) else {}),
        }
        for status in statuses
    }


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}


def _object(properties: dict[str, Any], optional: tuple[str, ...] = (), **other: Any) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False, **other}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _schemas(classes: Sequence[str]) -> dict[str, Any]:
    name = {"enum": list(classes)}
    source = {
        "index": {**_COUNT, "description": "Position in the request, from 0."},
        "name": {**_TEXT, "description": "File name in the request; `image` if it has none."},
    }
    finding = {
        "name": name,
        "place": {**_COUNT, "description": "Index of the finding in `classes`."},
        "probability": _PROBABILITY,
        "calibrated": {**_PROBABILITY, "description": "Calibrated probability, with a calibration only."},
        "present": {"type": "boolean", "description": "At or above the threshold; with thresholds only."},
        "threshold": _PROBABILITY,
        "sensitivity": _PROBABILITY,
        "specificity": _PROBABILITY,
    }
    encoded = {"type": "string", "contentEncoding": "base64"}
    result = {
        **source,
        "width": _COUNT,
        "height": _COUNT,
        "meaningful": {"type": "boolean", "description": "False if the image is no frontal chest radiograph."},
        "warnings": _array(_TEXT),
        "probabilities": _object(dict.fromkeys(classes, _PROBABILITY)),
        "findings": _array(_ref("Finding")),
        "maps": {"type": "object", "propertyNames": name, "additionalProperties": _ref("Map")},
        "gray": {**encoded, "contentMediaType": "image/png"},
    }
    model = {
        "name": _TEXT,
        "ckpt_sha256": _TEXT,
        "notice": _TEXT,
        "classes": _array(name),
        "chosen": {**_TEXT, "description": "How the thresholds were chosen; empty without thresholds."},
        "calibrated": {"type": "boolean"},
        "crops": {"enum": list(CROPS), "description": "Crops per image; dense: the whole image."},
        "engine": _TEXT,
        "cam_max": {"type": "number", "description": "Logit shown at full opacity in class maps."},
        "max_bytes": {**_COUNT, "description": "Maximum size of a request body."},
        "max_images": _COUNT,
        "header": {"type": "object", "description": "What predict.py's JSON file has for all images."},
    }
    opacity = {**encoded, "description": "uint8, 0 to 255, row by row from the top left; the grid covers the image."}
    problem = {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {**_TEXT, "description": "The reason in one word."},
        "detail": _TEXT,
        "errors": _array(_ref("ImageError")),
    }
    return {
        "Predictions": _object(
            {
                "ckpt_sha256": _TEXT,
                "notice": _TEXT,
                "results": _array(_ref("Result")),
                "errors": _array(_ref("ImageError")),
            }
        ),
        "Result": _object(result, ("maps", "gray")),
        "Finding": _object(finding, ("calibrated", "present", "threshold", "sensitivity", "specificity")),
        "Map": _object({"rows": _COUNT, "columns": _COUNT, "opacity": opacity}),
        "ImageError": _object({**source, "detail": _TEXT}),
        "Model": _object(model),
        "Health": _object({"status": _TEXT}),
        "Problem": _object(problem, ("errors",)),
    }
