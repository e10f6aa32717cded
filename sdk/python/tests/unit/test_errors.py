"""What a failure becomes."""

import grpc
import pytest

import a3s_box_sdk as a3s
from a3s_box_sdk._endpoint import Endpoint
from a3s_box_sdk._failures import Failure, Fate, Patience, exception_of
from a3s_box_sdk._methods import About

HERE = Endpoint("tcp://a:1", "tcp", ("a", 1))


@pytest.mark.parametrize(
    "status, kind, expected",
    [
        ("INVALID_ARGUMENT", "sandbox", a3s.InvalidArgumentException),
        ("NOT_FOUND", "sandbox", a3s.SandboxNotFoundException),
        ("NOT_FOUND", "process", a3s.ProcessNotFoundException),
        ("NOT_FOUND", "file", a3s.FileNotFoundException),
        ("NOT_FOUND", "program", a3s.NotFoundException),
        ("ALREADY_EXISTS", "file", a3s.AlreadyExistsException),
        ("FAILED_PRECONDITION", "port", a3s.FailedPreconditionException),
        ("RESOURCE_EXHAUSTED", "sandbox", a3s.QuotaException),
        ("RESOURCE_EXHAUSTED", "file", a3s.NotEnoughSpaceException),
        ("PERMISSION_DENIED", "file", a3s.PermissionDeniedException),
        ("UNAUTHENTICATED", "sandbox", a3s.AuthenticationException),
        ("UNIMPLEMENTED", "sandbox", a3s.UnimplementedException),
        ("UNAVAILABLE", "sandbox", a3s.UnavailableException),
        ("DEADLINE_EXCEEDED", "sandbox", a3s.TimeoutException),
        ("INTERNAL", "sandbox", a3s.SandboxException),
    ],
)
def test_each_status_is_a_class_with_its_stage_sandbox_and_words(status, kind, expected):
    failure = Failure(grpc.StatusCode[status], "the words (what to do)", Fate.ANSWERED)
    error = exception_of(failure, About("files.read", "abc", kind), HERE)
    assert type(error) is expected and isinstance(error, a3s.SandboxException)
    assert (error.stage, error.sandbox_id) == ("files.read", "abc")
    assert str(error).startswith("files.read [sandbox abc]: the words (what to do")
    assert error.hint
    assert type(error).code


def test_kinds_of_errors_are_those_of_e2b():
    assert issubclass(a3s.QuotaException, a3s.RateLimitException)
    for kind in (a3s.SandboxNotFoundException, a3s.FileNotFoundException, a3s.ProcessNotFoundException):
        assert issubclass(kind, a3s.NotFoundException)
    gone = Failure(grpc.StatusCode.NOT_FOUND, "gone", Fate.ANSWERED)
    assert type(exception_of(gone, About("files.read", "abc", "file"), HERE, True)) is a3s.SandboxNotFoundException


def test_a_lost_connection_says_where_and_what_to_do():
    for fate, words in ((Fate.UNSENT, "nobody serves"), (Fate.DROPPED, "connection was lost")):
        error = exception_of(Failure(grpc.StatusCode.INTERNAL, "x", fate), About("get_info"), HERE)
        assert type(error) is a3s.UnavailableException and words in str(error) and "tcp://a:1" in str(error)
        assert "A3S_BOX_ENDPOINT" in (error.hint or "")


def test_patience_ends_and_is_renewed():
    assert Patience(0).next_pause() is None
    patience = Patience(60)
    pauses = [patience.next_pause() or 0 for _ in range(8)]
    assert 0 < pauses[0] < 0.2 and max(pauses) <= 1.2
    patience.renew()
    assert (patience.next_pause() or 9) < 0.2
