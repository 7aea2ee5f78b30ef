//! A relay between two peers that loses media packets on the way from the sender.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use forebay::base::shutdown::Tasks;
use tokio::net::UdpSocket;

/// One path through the machine.
pub struct Relay {
    /// Where the sender believes the receiver to be, and the other way round.
    to_sender: SocketAddr,
    to_receiver: SocketAddr,
    ends: Arc<Mutex<Ends>>,
    tasks: Tasks,
}

#[derive(Default)]
struct Ends {
    sender: Option<SocketAddr>,
    receiver: Option<SocketAddr>,
}

impl Relay {
    pub async fn new(loss: u32) -> Relay {
        let faces_sender = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let faces_receiver = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let ends = Arc::new(Mutex::new(Ends::default()));
        let tasks = Tasks::new();
        let (to_sender, to_receiver) = (
            faces_sender.local_addr().unwrap(),
            faces_receiver.local_addr().unwrap(),
        );
        let forth = carry(
            Arc::clone(&faces_sender),
            Arc::clone(&faces_receiver),
            loss,
            Arc::clone(&ends),
            |ends| ends.receiver,
        );
        let back = carry(faces_receiver, faces_sender, 0, Arc::clone(&ends), |ends| {
            ends.sender
        });
        for way in [
            Box::pin(forth) as std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
            Box::pin(back),
        ] {
            let stop = tasks.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = stop.stopped() => {}
                    () = way => {}
                }
            });
        }
        Relay {
            to_sender,
            to_receiver,
            ends,
            tasks,
        }
    }

    /// The address to tell the other side instead of this one.
    pub fn stand_for(&self, of_sender: bool, address: SocketAddr) -> SocketAddr {
        let mut ends = self.ends.lock().unwrap();
        if of_sender {
            ends.sender = Some(address);
            self.to_receiver
        } else {
            ends.receiver = Some(address);
            self.to_sender
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

/// Media packets have types below 64 or from 96 on, reports those between (RFC 5761 §4).
fn is_media(packet: &[u8]) -> bool {
    matches!(packet, [128..=191, kind, ..] if !(64..96).contains(&(kind & 0x7F)))
}

async fn carry(
    from: Arc<UdpSocket>,
    over: Arc<UdpSocket>,
    loss: u32,
    ends: Arc<Mutex<Ends>>,
    end: fn(&Ends) -> Option<SocketAddr>,
) {
    let mut buffer = [0; 2048];
    let mut random = 12_345_u32;
    while let Ok((size, _)) = from.recv_from(&mut buffer).await {
        let packet = &buffer[..size];
        if is_media(packet) {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if (random >> 8) % 1000 < loss {
                continue;
            }
        }
        let to = end(&ends.lock().unwrap());
        if let Some(to) = to {
            let _ = over.send_to(packet, to).await;
        }
    }
}
