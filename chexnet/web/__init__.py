"""Serve the page and a JSON API that predict uploaded images, with Starlette and uvicorn (extra `web`)."""

from typing import TYPE_CHECKING

from chexnet._lazy import lazy_exports

if TYPE_CHECKING:
    from chexnet.web.app import create_app as create_app
    from chexnet.web.inference_service import InferenceService as InferenceService
    from chexnet.web.server import listen as listen
    from chexnet.web.server import serve as serve
    from chexnet.web.server_config import ServerConfig as ServerConfig
    from chexnet.web.server_config import check_server as check_server
    from chexnet.web.server_config import is_loopback as is_loopback
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "create_app": "app",
            "InferenceService": "inference_service",
            "listen": "server",
            "serve": "server",
            "ServerConfig": "server_config",
            "check_server": "server_config",
            "is_loopback": "server_config",
        },
    )
