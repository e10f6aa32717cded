"""A call whose answer nobody waits for."""

import concurrent.futures
import gc
import time

import grpc

from a3s_box_sdk._endpoint import ConnectionOptions, find
from a3s_box_sdk._methods import FORGET
from a3s_box_sdk._proto import processes_pb2 as p
from a3s_box_sdk._sync.edge import Edge


class Slow(grpc.GenericRpcHandler):
    """Remembers whether who asked was still there after a while."""

    def __init__(self):
        self.were_there = []

    def service(self, call):
        def forget(request, context):
            time.sleep(0.5)
            self.were_there.append(context.is_active())
            return p.ForgetProcessResponse()

        return grpc.unary_unary_rpc_method_handler(
            forget, p.ForgetProcessRequest.FromString, p.ForgetProcessResponse.SerializeToString
        )


def test_a_call_that_nobody_waits_for_comes_to_its_end():
    service = Slow()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1), handlers=[service])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        edge = Edge(find(ConnectionOptions(endpoint=f"tcp://127.0.0.1:{port}")))
        edge.forget(FORGET, p.ForgetProcessRequest(sandbox_id="x"), 10)
        gc.collect()
        end = time.monotonic() + 10
        while not service.were_there and time.monotonic() < end:
            time.sleep(0.05)
        assert service.were_there == [True]
    finally:
        server.stop(0)
