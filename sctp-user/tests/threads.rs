//! Many tasks on several threads: no waker may get lost. The test uses real time, but nothing in it
//! waits for the clock.

mod common;

use std::time::Duration;

use common::*;
use sctp_user::link::sim::SimNet;
use sctp_user::{AssocConfig, Message};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_waiting_task_is_forgotten() {
    let net = SimNet::new(1);
    let (a, b) = (stack(&net, A), stack(&net, B));
    let endpoint = b.bind(7).unwrap();
    endpoint.listen(64).unwrap();
    let serving = tokio::spawn(async move {
        let mut tasks = Vec::new();
        for _ in 0..16 {
            let association = endpoint.accept().await.unwrap();
            tasks.push(tokio::spawn(async move {
                while let Some(received) = association.recv_message().await.unwrap() {
                    association
                        .send(Message::new(received.stream, 0, received.data))
                        .await
                        .unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
    let mut clients = Vec::new();
    for n in 0..16u8 {
        let a = a.clone();
        clients.push(tokio::spawn(async move {
            // The buffers are small so that senders and readers have to wait for each other all the
            // time.
            let config = AssocConfig { send_buffer: 4_000, recv_buffer: 8_000, ..a.assoc_config() };
            let association = a.connect_with(&peer(B, 7), config).await.unwrap();
            let sender = association.clone();
            let sending = tokio::spawn(async move {
                for _ in 0..300 {
                    sender.send(Message::new(u16::from(n % 4), 0, vec![n; 1_500])).await.unwrap();
                }
            });
            for _ in 0..300 {
                let received = association.recv_message().await.unwrap().unwrap();
                assert_eq!((received.data.len(), received.data[0]), (1_500, n));
            }
            sending.await.unwrap();
            association.shutdown().await.unwrap();
        }));
    }
    let everything = async {
        for client in clients {
            client.await.unwrap();
        }
        serving.await.unwrap();
        a.shutdown().await;
        b.shutdown().await;
    };
    timeout(Duration::from_secs(60), everything).await.expect("everything ends");
    assert_eq!((a.stats().associations, b.stats().associations), (0, 0));
}
