"""The web services of DNS providers: signatures of their documentation, and calls of a stand-in that checks them."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pingap_acme.dns import aliyun, huawei, tencent
from pingap_acme.dns.acme_dns import AcmeDns
from pingap_acme.dns.cloudflare import Cloudflare
from pingap_acme.dns.provider import DnsError, DnsProvider, base_of, parents

NAME = "_acme-challenge.shop.example.com"
CREDENTIALS = "access_key_id=id&access_key_secret=secret"


def test_the_signature_that_alibaba_documents() -> None:
    query = {
        "Timestamp": "2016-02-23T12:46:24Z",
        "Format": "XML",
        "AccessKeyId": "testid",
        "Action": "DescribeRegions",
        "SignatureMethod": "HMAC-SHA1",
        "SignatureNonce": "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf",
        "Version": "2014-05-26",
        "SignatureVersion": "1.0",
    }
    assert aliyun.signature(query, "testsecret") == "OLeaidS1JvxuMvnyHOwuJ+uX5qY="


def test_the_signature_that_huawei_documents() -> None:
    query = huawei.canonical_query({"marker": "13551d6b-755d-4757-b956-536f674975c0", "limit": "2"})
    path = "/v1/77b6a44cba5143ab91d13ab9a8ff44fd/vpcs"
    found = huawei.authorization(
        "QTWAOYTTINDUT2QVKYUC",
        "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc",
        ("GET", path, query, "service.region.example.com", ""),
        "20191115T033655Z",
    )
    assert found == (
        "SDK-HMAC-SHA256 Access=QTWAOYTTINDUT2QVKYUC, SignedHeaders=content-type;host;x-sdk-date, "
        "Signature=7be6668032f70418fcc22abc52071e57aff61b84a1d2381bb430d6870f4f6ebe"
    )


class Service:
    """A stand-in for a provider: it has the zone ``example.com``, and records.

    :ivar records: identifier -> name and value.
    """

    def __init__(self, answer: Callable[[Service, Call], Any]) -> None:
        self.records: dict[str, tuple[str, str]] = {"0": (NAME, "of somebody else")}
        self.calls: list[Call] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                call = Call(self, self.rfile.read(length))
                service.calls.append(call)
                try:
                    status, found = 200, answer(service, call)
                except PermissionError as error:
                    status, found = 403, {"message": str(error)}
                body = json.dumps(found).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - names of the library

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def add(self, name: str, value: str) -> None:
        self.records[str(max(map(int, self.records)) + 1)] = (name, value)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Call:
    """A request to the stand-in."""

    def __init__(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        self.method, self.headers, self.body = request.command, request.headers, body
        parts = urlsplit(request.path)
        self.path, self.raw_query = parts.path, parts.query
        self.query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.json = json.loads(body) if body.startswith(b"{") else {}


def _aliyun(service: Service, call: Call) -> Any:
    query = dict(call.query)
    signature = query.pop("Signature")
    if signature != aliyun.signature(query, "secret"):  # which the documented one has checked
        raise PermissionError("SignatureDoesNotMatch")
    match query["Action"]:
        case "DescribeDomains":
            found = [{"DomainName": "example.com"}] if query["KeyWord"] == "example.com" else []
            return {"Domains": {"Domain": found}}
        case "AddDomainRecord":
            service.add(f"{query['RR']}.{query['DomainName']}", query["Value"])
        case "DescribeDomainRecords":
            records = [
                {"RecordId": key, "RR": name.removesuffix(".example.com"), "Value": value}
                for key, (name, value) in service.records.items()
            ]
            return {"DomainRecords": {"Record": records}}
        case "DeleteDomainRecord":
            del service.records[query["RecordId"]]
    return {}


def _tc3(call: Call) -> str:
    """Return the signature of a call, as the documentation of TC3-HMAC-SHA256 describes it."""
    canonical = (
        f"POST\n/\n\ncontent-type:{call.headers['Content-Type']}\nhost:{call.headers['Host']}\n\n"
        f"content-type;host\n{sha256(call.body).hexdigest()}"
    )
    scope = call.headers["Authorization"].split("Credential=id/")[1].split(",")[0]
    stamp = call.headers["X-TC-Timestamp"]
    text = f"TC3-HMAC-SHA256\n{stamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    key = b"TC3secret"
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def _tencent(service: Service, call: Call) -> Any:
    def refused(code: str) -> Any:
        return {"Response": {"Error": {"Code": code, "Message": "no"}}}

    if not call.headers["Authorization"].endswith(f"Signature={_tc3(call)}"):
        return refused("AuthFailure.SignatureFailure")
    given = call.json
    match call.headers["X-TC-Action"]:
        case "DescribeDomain" if given["Domain"].startswith("_"):
            return refused("InvalidParameter.DomainInvalid")
        case "DescribeDomain" if given["Domain"] != "example.com":
            return refused("InvalidParameterValue.DomainNotExists")
        case "CreateRecord":
            service.add(f"{given['SubDomain']}.{given['Domain']}", given["Value"])
        case "DescribeRecordList" if not service.records:
            return refused("ResourceNotFound.NoDataOfRecord")
        case "DescribeRecordList":
            records = [
                {"RecordId": int(key), "Value": value}
                for key, (_, value) in service.records.items()
            ]
            return {"Response": {"RecordList": records}}
        case "DeleteRecord":
            del service.records[str(given["RecordId"])]
    return {"Response": {}}


def _huawei(service: Service, call: Call) -> Any:
    signed = (call.method, call.path, call.raw_query, call.headers["Host"], call.body.decode())
    date = call.headers["X-Sdk-Date"]
    if call.headers["Authorization"] != huawei.authorization("id", "secret", signed, date):
        raise PermissionError("verify aksk signature fail")
    if call.path == "/v2/zones":
        zones = [{"name": "my-example.com.", "id": "z0"}, {"name": "example.com.", "id": "z1"}]
        return {"zones": [one for one in zones if call.query["name"] in one["name"]]}
    values = [f'"{value}"' for _, value in service.records.values()]
    if call.method == "GET":
        sets = [{"id": "s1", "name": f"{NAME}.", "records": values}] if values else []
        return {"recordsets": sets}
    assert call.path == f"/v2/zones/z1/recordsets{'' if call.method == 'POST' else '/s1'}"
    records = call.json.get("records", [])
    service.records = {str(at): (NAME, one.strip('"')) for at, one in enumerate(records)}
    return {}


def _cloudflare(service: Service, call: Call) -> Any:
    if call.headers["Authorization"] != "Bearer secret":
        raise PermissionError("Invalid access token")
    if call.path == "/client/v4/zones":
        return {"result": [{"id": "z1"}] if call.query["name"] == "example.com" else []}
    place, _, key = call.path.removeprefix("/client/v4/zones/z1/").partition("/")
    assert place == "dns_records"
    match call.method:
        case "POST":
            service.add(call.json["name"], call.json["content"].strip('"'))
        case "DELETE":
            del service.records[key]
        case _:
            return {
                "result": [
                    {"id": key, "content": f'"{value}"'}
                    for key, (_, value) in service.records.items()
                ]
            }
    return {}


SERVICES: dict[str, tuple[Callable[[Service, Call], Any], Callable[[str], DnsProvider], str]] = {
    "aliyun": (_aliyun, aliyun.Aliyun, CREDENTIALS),
    "tencent": (_tencent, tencent.Tencent, CREDENTIALS),
    "huawei": (_huawei, huawei.Huawei, CREDENTIALS),
    "cloudflare": (_cloudflare, Cloudflare, "token=secret"),
}


@pytest.fixture(params=SERVICES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def service(kind: str) -> Iterator[Service]:
    found = Service(SERVICES[kind][0])
    yield found
    found.stop()


def made(kind: str, service: Service, credentials: str = "") -> DnsProvider:
    _, factory, usual = SERVICES[kind]
    return factory(f"{service.url}?{credentials or usual}")


def test_records_stand_beside_others(kind: str, service: Service) -> None:
    provider = made(kind, service)
    before = set(service.records.values())
    provider.add(NAME, "first")
    provider.add(NAME, "second-_+/")
    assert set(service.records.values()) == before | {(NAME, "first"), (NAME, "second-_+/")}
    provider.remove(NAME, "first")
    assert set(service.records.values()) == before | {(NAME, "second-_+/")}
    provider.remove(NAME, "second-_+/")
    assert set(service.records.values()) == before
    provider.remove(NAME, "second-_+/")  # it is no error


def test_there_are_no_records(kind: str, service: Service) -> None:
    service.records.clear()
    made(kind, service).remove(NAME, "first")


def test_a_zone_that_is_not_there(kind: str, service: Service) -> None:
    with pytest.raises(DnsError, match=r"no zone for a\.example\.org"):
        made(kind, service).add("a.example.org", "value")


def test_wrong_credentials(kind: str, service: Service) -> None:
    wrong = made(kind, service, "token=s3cr3t&access_key_id=id&access_key_secret=s3cr3t")
    with pytest.raises(DnsError, match=r"token|ignature") as error:
        wrong.add(NAME, "value")
    assert "s3cr3t" not in str(error.value)


def test_a_service_that_is_away(kind: str, service: Service) -> None:
    service.stop()
    with pytest.raises(DnsError, match="cannot be reached") as error:
        made(kind, service).add(NAME, "value")
    assert "secret" not in str(error.value)


def test_acme_dns() -> None:
    service = Service(lambda _, call: {"txt": call.json["txt"]})
    try:
        AcmeDns(f"{service.url}?username=u&password=p&subdomain=s").add(NAME, "value")
    finally:
        service.stop()
    [call] = service.calls
    assert (call.path, call.json) == ("/update", {"subdomain": "s", "txt": "value"})
    assert (call.headers["X-Api-User"], call.headers["X-Api-Key"]) == ("u", "p")


def test_credentials_are_not_sent_unencrypted() -> None:
    assert base_of("https://user@dns.example.com:8443/x?a=b", "") == "https://dns.example.com:8443"
    assert base_of("", "https://usual") == "https://usual"
    with pytest.raises(ValueError, match="unencrypted"):
        base_of("http://dns.example.com", "")


def test_zones_are_looked_for_from_the_longest_name() -> None:
    assert parents("a.b.c.d") == ["a.b.c.d", "b.c.d", "c.d"]
