"""Errors as answers, for every model that runs in the python backend."""

from typing import Any

import triton_python_backend_utils as pb_utils


def refuse(message: str) -> Any:
    """The response to a request whose content is at fault (gRPC INVALID_ARGUMENT, HTTP 400)."""
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))


def fail(error: Exception) -> Any:
    """The response to a request that the server could not answer (gRPC INTERNAL, HTTP 500)."""
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error), pb_utils.TritonError.INTERNAL))
