#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0

"""Greets a service in a Keep, once the Keep has proved that it is the right one.

1. Asks Steward for its root, over gRPC (proto/proxy_attestation.proto).
2. Starts `enarx proxy`, which trusts that root alone and expects this digest of the workload and this measurement of the Keep.
3. Calls the service through the proxy. A Keep that proves anything else gets no byte of the call.

Needs grpcio and grpcio-tools. Exit codes: 0, the service answered; 1, it was refused, or something failed; 2, called wrongly.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import grpc

HERE = pathlib.Path(__file__).resolve().parent
# Where the interfaces are looked for.
sys.path += [str(HERE), str(HERE.parent.parent / "proto")]
SECONDS = 60


class Failure(Exception):
    """What went wrong, in words."""


def fetch_root(steward, tls_root):
    """The root of the certificates that this Steward issues, PEM."""
    messages, services = grpc.protos_and_services("proxy_attestation.proto")
    credentials = grpc.ssl_channel_credentials(pathlib.Path(tls_root).read_bytes() if tls_root else None)
    with grpc.secure_channel(steward, credentials) as channel:
        stub = services.ProxyAttestationStub(channel)
        try:
            return stub.GetRootCertificate(messages.GetRootCertificateRequest(), timeout=SECONDS).root_certificate
        except grpc.RpcError as error:
            raise Failure(f"Steward gives no root: {error.code().name}: {error.details()}") from error


def start_proxy(arguments, root):
    """A proxy to the service, and the address that it listens on."""
    command = [arguments.enarx, "proxy", "127.0.0.1:0", arguments.service, "--json", "--ca", root, "--alpn", "h2"]
    command += ["--expect", f"digest={arguments.digest}", "--expect", f"measurement={arguments.measurement}"]
    if arguments.insecure_allow_simulated:
        command.append("--insecure-allow-simulated")
    proxy = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    first = proxy.stdout.readline()
    if not first:
        raise Failure(f"enarx proxy does not start (exit code {proxy.wait()})")
    return proxy, json.loads(first)["address"]


def say_hello(address, name):
    """What the service answers."""
    messages, services = grpc.protos_and_services("greeter.proto")
    # The address is this machine's.
    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        stub = services.GreeterStub(channel)
        return stub.SayHello(messages.HelloRequest(name=name), timeout=SECONDS).message


def greet(arguments):
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory, "root.pem")
        root.write_bytes(fetch_root(arguments.steward, arguments.steward_tls_root))
        proxy, address = start_proxy(arguments, str(root))
        try:
            message, error = say_hello(address, arguments.name), None
        except grpc.RpcError as raised:
            message, error = None, raised
        finally:
            proxy.terminate()
            events = [json.loads(line) for line in proxy.communicate()[0].splitlines()]
    for event in events:
        if event["event"] == "verified":
            facts = event["proved"]
            print("proved:", json.dumps(facts["peer"]), file=sys.stderr)
        elif event["event"] in ("refused", "failed"):
            check = event["check"] or "connection"
            raise Failure(f"nothing was sent to {arguments.service}: {event['what']}: {check}: {event['why']}")
    if error is not None:
        raise Failure(f"the service does not answer: {error.code().name}: {error.details()}")
    return message


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="whom to greet")
    parser.add_argument("--steward", required=True, metavar="HOST:PORT")
    parser.add_argument("--steward-tls-root", metavar="FILE", help="PEM file with the root of Steward's own TLS, in place of the public ones")
    parser.add_argument("--service", required=True, metavar="HOST:PORT")
    parser.add_argument("--digest", required=True, metavar="sha256:…", help="the workload that has to run there")
    parser.add_argument("--measurement", required=True, metavar="HEX", help="the Keep that it has to run in")
    parser.add_argument("--insecure-allow-simulated", action="store_true", help="accept simulated silicon, which proves nothing")
    parser.add_argument("--enarx", default="enarx", metavar="PROGRAM")
    arguments = parser.parse_args()
    try:
        print(greet(arguments))
    except (Failure, OSError) as failure:
        print(f"error: {failure}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
