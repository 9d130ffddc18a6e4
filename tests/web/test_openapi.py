"""The OpenAPI description: valid, complete, and true for generated requests."""

import hypothesis
import jsonschema
import pytest
import schemathesis
from api_server import CLASSES, Served, png_of
from hypothesis import HealthCheck, Phase
from schemathesis import checks

from chexnet.web.openapi import PROBLEMS

EXPECTED = {"/v1/predict", "/v1/model", "/healthz", "/healthz/ready", "/metrics", "/openapi.json"}
CHECKS = (
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.allow_header_conformance,
)


@pytest.fixture(scope="module")
def description(api: Served) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{api.url}/openapi.json")


def test_the_description_is_valid_and_lists_every_route(description):
    description.validate()
    assert set(description.raw_schema["paths"]) == EXPECTED
    assert description.raw_schema["openapi"].startswith("3.1.")


def test_results_match_the_description(description, client):
    schemas = {"components": description.raw_schema["components"]}
    for name, path in (("Model", "/v1/model"), ("Health", "/healthz")):
        jsonschema.validate(client.get(path).json(), {**schemas, "$ref": f"#/components/schemas/{name}"})
    response = client.post("/v1/predict?maps=all&gray=true", files=[("a", png_of(1)), ("a", b"x")])
    validator = jsonschema.Draft202012Validator({**schemas, "$ref": "#/components/schemas/Predictions"})
    validator.validate(response.json())
    wrong = response.json()
    wrong["results"][0]["findings"][0]["name"] = "Nothing"
    assert not validator.is_valid(wrong)
    refused = client.post("/v1/predict", content=b"x")
    jsonschema.validate(refused.json(), {**schemas, "$ref": "#/components/schemas/Problem"})


def test_every_problem_is_described(description):
    responses = description.raw_schema["paths"]["/v1/predict"]["post"]["responses"]
    assert {int(status) for status in responses if status != "200"} == set(PROBLEMS)
    assert set(
        description.raw_schema["components"]["schemas"]["Result"]["properties"]["probabilities"]["required"]
    ) == (set(CLASSES))


def test_generated_requests_get_described_responses(description, api: Served):
    """Also requests that violate the description."""

    def call(operation: schemathesis.APIOperation, mode: schemathesis.GenerationMode) -> None:
        @hypothesis.given(operation.as_strategy(generation_mode=mode))
        @hypothesis.settings(
            max_examples=25,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def check(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=CHECKS, timeout=60)

        check()

    for operation in (result.ok() for result in description.get_all_operations()):
        call(operation, schemathesis.GenerationMode.POSITIVE)
        if operation.method.lower() == "post":  # nothing can be wrong in the others
            call(operation, schemathesis.GenerationMode.NEGATIVE)
    assert api.log == []
