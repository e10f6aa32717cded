"""Which call goes on after one that was cut off, and how output becomes text."""

import grpc
import pytest

import a3s_box_sdk as a3s
from a3s_box_sdk._failures import Failure, Fate
from a3s_box_sdk._following import Following, Gathered
from a3s_box_sdk._messages import start_request
from a3s_box_sdk._proto import processes_pb2 as p

MISSING = Failure(grpc.StatusCode.NOT_FOUND, "there is none", Fate.ANSWERED)


def process(pid=7):
    return p.ProcessEvent(process=p.Process(id=pid))


def output(data, offset, stream=p.OUTPUT_STREAM_STDOUT):
    return p.ProcessEvent(output=p.ProcessOutput(stream=stream, data=data, offset=offset))


def ended(code=0, signal=0, timed_out=False):
    return p.ProcessEvent(exit=p.ProcessExit(code=code, signal=signal, timed_out=timed_out))


def kind(following):
    method, request = following.opening()
    return method.path.rsplit("/", 1)[1], request


def starting(*args):
    return Following("s", start=start_request("s", args or ["/bin/bash", "-l", "-c", "true"]))


def test_a_start_that_was_cut_off_is_asked_for_again_by_its_id():
    following = starting()
    name, request = kind(following)
    start_id = request.start.start_id
    assert name == "RunProcess" and len(start_id) == 36
    assert starting().opening()[1].start.start_id != start_id
    following.dropped()
    name, request = kind(following)
    assert name == "RunProcess" and request.start.start_id == start_id
    assert following.unanswered.start_id == start_id
    following.take(process())
    assert following.unanswered is None
    name, request = kind(following)
    assert name == "ConnectProcess" and request.process.id == 7


def test_bash_gives_way_to_sh_where_there_is_none_and_nothing_else_does():
    following = starting()
    start_id = kind(following)[1].start.start_id
    assert following.goes_on(MISSING) and kind(following)[1].start.args[0] == "/bin/sh"
    assert kind(following)[1].start.start_id != start_id, "it is another start"
    assert not following.goes_on(MISSING)
    assert not starting("/no/such").goes_on(MISSING)
    assert not Following("s", pid=7).goes_on(MISSING)


def test_reading_goes_on_behind_the_last_byte_that_has_come_or_was_lost():
    following = Following("s", pid=7, from_="unseen")
    assert kind(following)[1].HasField("unseen") and following.next_offset is None
    following.take(process())
    following.take(output(b"abc", 10))
    assert kind(following)[1].offset == 13
    following.take(p.ProcessEvent(lost=p.ProcessLost(bytes=5)))
    assert kind(following)[1].offset == 18
    assert kind(Following("s", pid=7, from_=4))[1].offset == 4
    now = Following("s", pid=7, from_="now")
    assert kind(now)[1].HasField("now")
    now.take(process())
    now.dropped()
    assert kind(now)[1].HasField("unseen")
    start = Following("s", pid=7)
    start.take(process())
    start.take(p.ProcessEvent(lost=p.ProcessLost(bytes=5)))
    assert kind(start)[1].offset == 5
    for wrong in (-1, True, "end"):
        with pytest.raises(a3s.InvalidArgumentException):
            Following("s", pid=7, from_=wrong)


def test_characters_in_two_pieces_are_put_together_and_broken_ones_replaced():
    gathered = Gathered(False)
    euro = "€".encode()
    assert gathered.take(output(euro[:1], 0)) == []
    assert gathered.take(output(b"e", 1, p.OUTPUT_STREAM_STDERR)) == [(None, "e", None)]
    assert gathered.take(output(euro[1:], 2)) == [("€", None, None)]
    assert gathered.take(output(euro[:2], 4)) == []
    assert gathered.take(ended()) == [("\ufffd", None, None)]
    assert (gathered.stdout, gathered.stderr, gathered.exit_code) == ("€\ufffd", "e", 0)
    terminal = Gathered(True)
    assert terminal.take(output(euro[:1], 0)) == [(None, None, euro[:1])]


def test_what_comes_of_a_command():
    def of(*events):
        gathered = Gathered(False)
        for event in events:
            gathered.take(event)
        return gathered

    whole = of(output(b"out", 0), p.ProcessEvent(lost=p.ProcessLost(bytes=3)), ended())
    assert whole.result("s", 60) == a3s.CommandResult("", "out", 0, None, 3)
    with pytest.raises(a3s.CommandExitException) as failed:
        of(output(b"out", 0), ended(3)).result("s", 60)
    assert (failed.value.exit_code, failed.value.error, failed.value.stdout) == (3, "exit status 3", "out")
    with pytest.raises(a3s.CommandExitException) as killed:
        of(ended(137, 9)).result("s", 60)
    assert (killed.value.exit_code, killed.value.error, killed.value.signal) == (-1, "signal: killed", 9)
    with pytest.raises(a3s.TimeoutException, match="60 s"):
        of(ended(137, 9, True)).result("s", 60)
    assert of(ended(168, 40)).error == "signal: signal 40"
