/** The least that a server in Node does: dials the socket named by its argument and sends back whatever comes. */
import { connect } from "node:net";

const socket = connect(process.argv[2] ?? "");
socket.on("data", (bytes) => socket.write(bytes));
socket.on("end", () => socket.end());
