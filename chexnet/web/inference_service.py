"""Predict the images of concurrent requests in batches, in memory."""

import math
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from chexnet.data.images import ImageBytes
from chexnet.errors import InputError
from chexnet.inference import Prediction, Predictor
from chexnet.inference.prediction import PreparedImage
from chexnet.inference.thresholds import Thresholds


class NetworkError(Exception):
    """The network gave values that are not finite."""


@dataclass
class _Job:
    content: bytes
    future: "Future[Prediction]" = field(default_factory=Future)
    prepared: PreparedImage | None = None


class InferenceService:
    """A predictor with its operating points, for images from many threads.

    Threads decode images; one thread predicts all images that are decoded by then, so that an idle server adds no
    delay.

    Args:
        predictor: the predictor.
        thresholds: operating points for decisions, if any.

    Attributes:
        predictor: the predictor.
        thresholds: operating points for decisions, if any.
        waiting: number of images that wait or are computed.
        observe_batch: called after each batch with its number of images and its seconds.
    """

    def __init__(self, predictor: Predictor, thresholds: Thresholds | None = None) -> None:
        self.predictor = predictor
        self.thresholds = thresholds
        self.waiting = 0
        self.observe_batch: Callable[[int, float], None] = lambda images, seconds: None
        self._image_seconds = 0.0  # moving average
        self._count = threading.Lock()
        self._dropped = False
        self._batch_images = predictor.batch_images
        # Decoded images are large: the queue holds no more of them than the next batches need.
        self._decoded: queue.Queue[_Job | None] = queue.Queue(2 * self._batch_images)
        self._decoders = ThreadPoolExecutor(max(1, predictor.config.num_workers), "decoder")
        self._worker = threading.Thread(target=self._predict_batches, name="predictor", daemon=True)
        self._worker.start()

    def submit(self, content: bytes) -> "Future[Prediction]":
        """Predict the content of an image file; a canceled future is left out if it is not yet computed.

        The future raises InputError if the image cannot be read, see `chexnet.data.images.open_image`. Other exceptions
        are faults of the network or of this program.
        """
        job = _Job(content)
        with self._count:
            self.waiting += 1
        job.future.add_done_callback(self._finished)
        self._decoders.submit(self._decode, job)
        return job.future

    @property
    def alive(self) -> bool:
        """True if the predicting thread runs."""
        return self._worker.is_alive()

    @property
    def expected_seconds(self) -> int:
        """Time until the images that now wait are predicted, in whole seconds, at least 1."""
        return max(1, math.ceil(self.waiting * self._image_seconds))

    def close(self, finish: bool = True) -> None:
        """Predict the remaining images or drop them, and end all threads; the batch that is being computed ends."""
        self._dropped = not finish
        self._decoders.shutdown()
        self._decoded.put(None)
        self._worker.join()

    def _finished(self, future: "Future[Prediction]") -> None:
        with self._count:
            self.waiting -= 1

    def _decode(self, job: _Job) -> None:
        if self._dropped:
            job.future.cancel()
        if job.future.cancelled():
            return
        try:
            job.prepared = self.predictor.prepare(ImageBytes(job.content))
        except Exception as error:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)
        else:
            job.content = b""
            self._decoded.put(job)

    def _predict_batches(self) -> None:
        while (job := self._decoded.get()) is not None:
            jobs: list[_Job] = [job]
            last = False
            while len(jobs) < self._batch_images and not last:
                try:
                    following = self._decoded.get_nowait()
                except queue.Empty:
                    break
                last = following is None
                jobs += [following] if following else []
            if self._dropped:
                for job in jobs:
                    job.future.cancel()
            if running := [job for job in jobs if job.future.set_running_or_notify_cancel()]:
                self._predict(running)
            if last:
                return

    def _predict(self, jobs: list[_Job]) -> None:
        started = time.monotonic()
        try:
            predictions = self.predictor.predict_prepared([job.prepared for job in jobs if job.prepared])
        except Exception as error:
            if len(jobs) > 1:  # the fault of one image is not that of the others
                for job in jobs:
                    self._predict([job])
                return
            # Not an InputError, which is what is wrong with the image itself.
            jobs[0].future.set_exception(NetworkError() if isinstance(error, InputError) else error)
            return
        seconds = time.monotonic() - started
        share = seconds / len(jobs)
        self._image_seconds = share if not self._image_seconds else 0.9 * self._image_seconds + 0.1 * share
        self.observe_batch(len(jobs), seconds)
        for job, prediction in zip(jobs, predictions, strict=True):
            job.future.set_result(prediction)
