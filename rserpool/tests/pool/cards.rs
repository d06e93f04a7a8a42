//! Business cards between elements and users.

use super::*;

/// The element that serves says where to go, and its users go there although the registrar prefers
/// another one.
#[tokio::test(start_paused = true)]
async fn a_session_goes_where_the_business_card_says() {
    let lab = Lab::new(true);
    let (_rs, registrar) = lab.registrar(1);
    let priority = |priority| Policy::Priority { priority };
    let (stack, first) = lab.element(11, priority(9), &[1]);
    let (_s2, second) = lab.element(12, priority(5), &[1]);
    let (_s3, third) = lab.element(13, priority(1), &[1]);
    for element in [&first, &second, &third] {
        element.registered().await.unwrap();
    }
    serve(&second);
    serve(&third);
    let (_us, user) = lab.user(21, &[1]);
    let all = user.resolve(&pool(), 0, Duration::ZERO).await.unwrap();
    let card: Vec<_> = all.into_iter().filter(|element| element.id == PeId(13)).collect();
    assert_eq!(card.len(), 1);
    tokio::spawn(async move {
        let mut session = first.accept().await.unwrap();
        session.send_business_card(card).await.unwrap();
        while let Ok(Some(_)) = session.recv().await {
            let reply = UserMessage::new(PPID, &b"1"[..]);
            let cookie = Bytes::copy_from_slice(&2u64.to_be_bytes());
            session.send_unit(vec![Outgoing::Data(reply), Outgoing::Cookie(cookie)]).await.unwrap();
        }
    });
    let mut session = user.open(pool(), SessionOptions::default()).unwrap();
    assert_eq!(done(&mut session).await, (PeId(11), false, 0));
    assert_eq!(ask(&mut session).await, 1);
    let named: Vec<PeId> = session.business_card().iter().map(|element| element.id).collect();
    assert_eq!(named, [PeId(13)]);
    let asked = registrar.stats().handle_resolutions;
    kill(&lab, 11, stack).await;
    needed(&mut session).await;
    assert_eq!(done(&mut session).await, (PeId(13), true, 1));
    assert_eq!(registrar.stats().handle_resolutions, asked, "nobody was asked");
    assert_eq!(ask(&mut session).await, 2, "with the cookie");
}
