"""Metrics of the server in Prometheus' text format, in a registry of their own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

METHODS = ("GET", "HEAD", "POST", "OPTIONS")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class ServerMetrics:
    """Counters and histograms; labels have few values, and none comes from a request's text.

    Attributes:
        requests: requests by method, route and status.
        seconds: time from the headers of a request to the end of its response, by route.
        refusals: refused requests by the `code` of their problem.
        images: images by outcome: `predicted`, `unreadable` or `failed`.
        batches: images per batch of the network.
        batch_seconds: time per batch of the network.
        waiting: images that wait or are computed.
        waiting_bytes: request bodies in memory, in bytes.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        labels = ("method", "route", "status")
        self.requests = Counter("chexnet_requests", "HTTP requests", labels, registry=registry)
        self.seconds = Histogram(
            "chexnet_request_seconds", "Time per HTTP request", ("route",), buckets=_SECONDS, registry=registry
        )
        self.refusals = Counter("chexnet_refusals", "Refused requests by reason", ("code",), registry=registry)
        self.images = Counter("chexnet_images", "Images by outcome", ("outcome",), registry=registry)
        self.batches = Histogram(
            "chexnet_batch_images", "Images per batch", buckets=(1, 2, 3, 4, 6, 8), registry=registry
        )
        self.batch_seconds = Histogram(
            "chexnet_batch_seconds", "Time per batch in the network", buckets=_SECONDS, registry=registry
        )
        self.waiting = Gauge("chexnet_waiting_images", "Images that wait or are computed", registry=registry)
        self.waiting_bytes = Gauge("chexnet_waiting_bytes", "Request bodies in memory", registry=registry)

    def observe_batch(self, images: int, seconds: float) -> None:
        """Record a batch of the network."""
        self.batches.observe(images)
        self.batch_seconds.observe(seconds)

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Record a request; unusual methods are counted together."""
        self.requests.labels(method if method in METHODS else "other", route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Return the metrics and their content type: text, or OpenMetrics if the Accept header asks for it."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
