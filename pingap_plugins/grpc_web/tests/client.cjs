// Makes one call with the grpc-web client of npm and prints, as JSON, what its callbacks got.
//
//   node client.cjs URL FORMAT KIND PAYLOAD
//
// FORMAT is "text" or "binary", KIND "unary" or "stream". Messages are plain text: how they are
// written is no concern of gRPC-Web.
globalThis.XMLHttpRequest = require("xhr2");
const { GrpcWebClientBase, MethodDescriptor, MethodType } = require("grpc-web");

const [url, format, kind, payload] = process.argv.slice(2);
const events = [];
const method = new MethodDescriptor(
  "/library.Books/Find",
  kind === "unary" ? MethodType.UNARY : MethodType.SERVER_STREAMING,
  String,
  String,
  (message) => new Uint8Array(Buffer.from(message)),
  (bytes) => Buffer.from(bytes).toString(),
);
const client = new GrpcWebClientBase({ format });
const target = url + method.name;
const failed = (error) => events.push(["error", error.code, error.message]);

if (kind === "unary") {
  const call = client.rpcCall(target, payload, { "x-reader": "7" }, method, (error, answer) =>
    error ? failed(error) : events.push(["data", answer]),
  );
  call.on("status", (status) => events.push(["status", status.code, status.details]));
} else {
  const call = client.serverStreaming(target, payload, { "x-reader": "7" }, method);
  call.on("data", (message) => events.push(["data", message]));
  call.on("status", (status) => events.push(["status", status.code, status.details]));
  call.on("error", failed);
  call.on("end", () => events.push(["end"]));
}
process.on("exit", () => console.log(JSON.stringify(events)));
