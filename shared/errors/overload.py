"""The branch of the error tree for a service that has enough to do: nothing is wrong with the request."""

from __future__ import annotations

from shared.errors.failure import SpotterError


class Overloaded(SpotterError):
    """The service cannot take this now; nothing is wrong with the request."""

    code, title, http_status, retryable = "overloaded", "The service is busy", 503, True


class RateLimited(Overloaded):
    """The owner sends more jobs a second than agreed."""

    code, title, http_status = "rate_limited", "Too many jobs a second", 429


class WebhookCallsLimited(Overloaded):
    """Tests, redeliveries, recoveries and rotations come too fast."""

    code, title, http_status = "webhook_calls_limited", "Too many calls about webhooks", 429


class QuotaExceeded(Overloaded):
    """The owner has as many jobs open, or pictures waiting, as agreed."""

    code, title, http_status = "quota_exceeded", "Enough of your jobs are open", 429


class UploadQuotaExceeded(Overloaded):
    """The owner keeps as many bytes of uploads as agreed."""

    code, title, http_status = "upload_quota_exceeded", "Enough of your uploads are kept", 429


class TooManyListeners(Overloaded):
    """The owner has as many streams of events and long-polls open as agreed."""

    code, title, http_status = "too_many_listeners", "Enough of your requests wait for changes", 429


class ServiceBusy(Overloaded):
    """The process holds as many connections as it may."""

    code, title = "service_busy", "The service has no connection left"


class QueueFull(Overloaded):
    """The queue has reached its bound."""

    code, title = "queue_full", "The queue is full"


class StoreFull(Overloaded):
    """The store has no memory left for further jobs."""

    code, title = "store_full", "The store is full"


class StoreUnavailable(Overloaded):
    """The store does not answer or cannot write."""

    code, title = "store_unavailable", "The job store is not available"


class WaitOver(SpotterError):
    """The job has not ended while an adapter waited for it; it goes on, and can be looked at by its id."""

    code, title, http_status = "wait_over", "The job has not ended yet", 504
