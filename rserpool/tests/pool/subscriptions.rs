//! Users that hear of changes in a pool.

use rserpool::Subscription;

use super::*;

/// Waits until the pool has exactly these elements.
async fn has(subscription: &mut Subscription, ids: &[u8]) {
    let wanted: Vec<PeId> = ids.iter().map(|id| PeId((*id).into())).collect();
    let change = async {
        loop {
            let elements = subscription.changed().await.unwrap();
            let ids: Vec<PeId> = elements.iter().map(|element| element.id).collect();
            if ids == wanted {
                return assert_eq!(subscription.elements(), Some(elements));
            }
        }
    };
    timeout(secs(60), change).await.unwrap_or_else(|_| panic!("{ids:?} in a minute"));
}

#[tokio::test(start_paused = true)]
async fn changes_of_a_pool_come_by_themselves_and_with_every_registrar() {
    let lab = Lab::new(true);
    let (rs, registrar) = lab.registrar(1);
    let (_us, user) = lab.user(21, &[1, 2]);
    let mut changes = user.subscribe(&pool()).await.unwrap();
    assert_eq!((changes.pool(), changes.elements()), (&pool(), None));
    has(&mut changes, &[]).await;
    let (_es, first) = lab.element(11, Policy::RoundRobin, &[1, 2]);
    first.registered().await.unwrap();
    let start = Instant::now();
    has(&mut changes, &[11]).await;
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    let (second_stack, _second) = lab.element(12, Policy::RoundRobin, &[1, 2]);
    has(&mut changes, &[11, 12]).await;
    // The cache is as new as the pool, so nobody asks.
    let asked = registrar.stats().handle_resolutions;
    let found = user.resolve(&pool(), 0, Duration::from_millis(1)).await.unwrap();
    assert_eq!((found.len(), registrar.stats().handle_resolutions), (2, asked));
    kill(&lab, 12, second_stack).await;
    has(&mut changes, &[11]).await;
    // A second one hears what is known, and both hear what comes.
    let mut too = user.subscribe(&pool()).await.unwrap();
    has(&mut too, &[11]).await;
    // The next registrar learns the pool from its elements.
    let (_rs, _next) = lab.registrar(2);
    drop(registrar);
    kill(&lab, 1, rs).await;
    let (_ts, _third) = lab.element(13, Policy::RoundRobin, &[2]);
    has(&mut changes, &[11, 13]).await;
    has(&mut too, &[11, 13]).await;
}

#[tokio::test(start_paused = true)]
async fn a_subscription_ends_when_it_is_dropped_and_there_are_few() {
    let lab = Lab::new(true);
    let (_rs, registrar) = lab.registrar(1);
    let (_us, user) = lab.user(21, &[1]);
    let name = |n: u8| PoolHandle::new(format!("pool {n}")).unwrap();
    for _ in 0..3 {
        let mut all = Vec::new();
        for n in 0..16 {
            all.push(user.subscribe(&name(n)).await.unwrap());
        }
        let full = Err(Error::Invalid("a pool user can subscribe to at most 16 pools"));
        assert_eq!(user.subscribe(&pool()).await.map(|_| ()), full);
        // The same pool again is no other one.
        drop(user.subscribe(&name(3)).await.unwrap());
        has(&mut all[3], &[]).await;
    }
    // Nobody wants anything any more; those that the registrar tells later disturb nobody.
    let (_es, element) = lab.element(11, Policy::RoundRobin, &[1]);
    element.registered().await.unwrap();
    tokio::time::sleep(secs(1)).await;
    user.resolve(&pool(), 1, Duration::ZERO).await.unwrap();
    assert_eq!(registrar.stats().aborts, 0);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_keeps_the_user_alive_and_ends_with_its_stack() {
    let lab = Lab::new(true);
    let (_rs, _registrar) = lab.registrar(1);
    let (stack, user) = lab.user(21, &[1]);
    let mut changes = user.subscribe(&pool()).await.unwrap();
    drop(user);
    has(&mut changes, &[]).await;
    let (_es, _element) = lab.element(11, Policy::RoundRobin, &[1]);
    has(&mut changes, &[11]).await;
    stack.abort("over").await;
    assert_eq!(timeout(secs(60), changes.changed()).await.unwrap(), Err(Error::Closed));
}
