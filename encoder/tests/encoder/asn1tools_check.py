"""Reads a stream of PDUs that `asn1tools.rs` wrote, with a BER and DER codec that shares no code with Writ's.

    asn1tools_check.py MODULE.asn1 TYPE STREAM

Every PDU is decoded by the ASN.1 module, checked for what a schema cannot say, and encoded again: DER, same bytes.
Prints one line of JSON for each PDU.
"""

import json
import sys

import asn1tools


def plain(value):
    """A decoded value as JSON."""
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    if isinstance(value, tuple):
        return {value[0]: plain(value[1])}
    if isinstance(value, list):
        return [plain(member) for member in value]
    if isinstance(value, dict):
        return {name: plain(member) for name, member in value.items()}
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value


def main(module, type_name, stream):
    ber = asn1tools.compile_files(module, "ber")
    der = asn1tools.compile_files(module, "der")
    with open(stream, "rb") as file:
        rest = file.read()
    while rest:
        length = ber.decode_length(rest)
        pdu, rest = rest[:length], rest[length:]
        if length is None or len(pdu) != length:
            sys.exit(f"the last PDU is cut: {pdu.hex()}")
        value = ber.decode(type_name, pdu, check_constraints=True)
        again = der.encode(type_name, value, check_constraints=True)
        if again != pdu:
            sys.exit(f"written again it differs:\n{pdu.hex()}\n{again.hex()}\n{value}")
        print(json.dumps(plain(value)))


main(*sys.argv[1:])
