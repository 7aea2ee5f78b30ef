// The server beside ours in benches/chat.rs: what one socket sends all are sent, as the example of the package `ws`
// does it. It neither keeps nor reads what it hands on.
//
//   node fan_out.mjs PORT
import { WebSocket, WebSocketServer } from 'ws';

const server = new WebSocketServer({ host: '127.0.0.1', port: Number(process.argv[2]), backlog: 4096 });
server.on('connection', (socket) => {
  socket.on('error', () => {});
  socket.on('message', (data, isBinary) => {
    for (const client of server.clients) {
      if (client.readyState === WebSocket.OPEN) client.send(data, { binary: isBinary });
    }
  });
});
