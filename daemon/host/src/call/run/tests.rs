//! Guests that misbehave, in a few lines of WebAssembly text: in every case the call ends in
//! time and the next one works.

use super::*;
use std::sync::LazyLock;

use credsmith_core::secret::Secret;
use wasmtime::component::{Component, Linker};

use crate::call::journal::LogLines;
use crate::options::HostOptions;

const MIB: usize = 1 << 20;

/// A component of one module whose function `f` does `body`. It may call `wait` and `break` of the
/// host.
fn guest(body: &str, rest: &str) -> Component {
    let text = format!(
        r#"(component
            (import "wait" (func $wait))
            (import "break" (func $break))
            (core func $wait_core (canon lower (func $wait)))
            (core func $break_core (canon lower (func $break)))
            (core module $m
                (import "host" "wait" (func $wait))
                (import "host" "break" (func $break))
                (func $f (export "f") {body})
                {rest})
            (core instance $i (instantiate $m (with "host" (instance
                (export "wait" (func $wait_core))
                (export "break" (func $break_core))))))
            (func (export "f") (canon lift (core func $i "f"))))"#
    );
    Component::new(&ENGINE.wasm, wat::parse_str(text).unwrap()).unwrap()
}

static ENGINE: LazyLock<Arc<GuestEngine>> = LazyLock::new(|| {
    let options =
        HostOptions { pool_size: 4, guest_threads: 2, ..HostOptions::new(Secret::new("key")) };
    GuestEngine::start(&options).unwrap()
});

async fn call(component: Component, timeout: Duration) -> (Result<(), GuestFailure>, Duration) {
    let mut linker: Linker<State> = Linker::new(&ENGINE.wasm);
    let mut root = linker.root();
    root.func_wrap_async("wait", |_, ()| Box::new(std::future::pending::<wasmtime::Result<()>>()))
        .unwrap();
    root.func_wrap("break", |_, ()| -> wasmtime::Result<()> { panic!("a fault of the host") })
        .unwrap();
    let template = linker.instantiate_pre(&component).unwrap();
    let plan = Plan {
        grants: Arc::default(),
        journal: Journal::new(LogLines::Held),
        memory: 16 * MIB,
        timeout,
        largest: 0,
    };
    let place = ENGINE.pool.clone().acquire_owned().await.unwrap();
    let begun = Instant::now();
    let end = run(&ENGINE, place, plan, move |store| {
        Box::pin(async move {
            let instance = template.instantiate_async(&mut *store).await?;
            instance.get_typed_func::<(), ()>(&mut *store, "f")?.call_async(&mut *store, ()).await
        })
    })
    .await;
    (end, begun.elapsed())
}

/// A component of many tables uses up those of the pool long before its places. Calls of others
/// would then break where they have to wait.
#[tokio::test]
async fn whoever_needs_much_of_the_pool_takes_many_places() {
    let instances = "(core instance (instantiate $m))".repeat(30);
    let text = format!("(component (core module $m (table 1 funcref)) {instances})");
    let component = Component::new(&ENGINE.wasm, wat::parse_str(text).unwrap()).unwrap();
    let template = Linker::<State>::new(&ENGINE.wasm).instantiate_pre(&component).unwrap();
    let needs = component.resources_required().unwrap();
    let weight = ENGINE.weight(0, needs.num_tables as usize);
    assert_eq!(weight, 4);
    let calls = (0..8).map(|_| async {
        let place = ENGINE.places(weight).await.unwrap();
        let plan = Plan {
            grants: Arc::default(),
            journal: Journal::new(LogLines::Held),
            memory: 16 * MIB,
            timeout: Duration::from_secs(60),
            largest: 0,
        };
        let template = template.clone();
        let end = run(&ENGINE, place, plan, move |store| {
            Box::pin(async move {
                template.instantiate_async(&mut *store).await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok(())
            })
        });
        end.await.unwrap();
    });
    futures_util::future::join_all(calls).await;
}

#[tokio::test]
async fn weights_are_those_of_the_pool() {
    for (memories, tables, weight) in
        [(0, 0, 1), (1, 2, 1), (2, 8, 1), (3, 1, 2), (4, 8, 2), (1, 9, 2), (1, 100, 4)]
    {
        assert_eq!(ENGINE.weight(memories, tables), weight, "{memories} {tables}");
    }
}

async fn fine() {
    let (end, _) = call(guest("nop", ""), Duration::from_secs(60)).await;
    end.unwrap();
}

#[tokio::test]
async fn a_guest_that_computes_for_ever_ends_in_time() {
    let limit = Duration::from_millis(200);
    let (end, took) = call(guest("(loop br 0)", ""), limit).await;
    assert_eq!(end.unwrap_err().how, BrokenHow::Timeout);
    assert!(took >= limit && took < limit + Duration::from_secs(5), "{took:?}");
    fine().await;
}

#[tokio::test]
async fn a_guest_that_waits_in_the_host_ends_in_time() {
    let limit = Duration::from_millis(200);
    let (end, took) = call(guest("(call $wait)", ""), limit).await;
    assert_eq!(end.unwrap_err().how, BrokenHow::Timeout);
    assert!(took >= limit && took < limit + Duration::from_secs(5), "{took:?}");
    fine().await;
}

/// As many busy guests as places but one, on two threads: the last place still serves.
#[tokio::test]
async fn busy_guests_starve_nobody() {
    let limit = Duration::from_secs(60);
    let busy: Vec<_> =
        (0..3).map(|_| tokio::spawn(call(guest("(loop br 0)", ""), limit))).collect();
    for _ in 0..20 {
        fine().await;
    }
    for task in busy {
        assert!(!task.is_finished(), "the guests were busy all the while");
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    }
    // The places come back as soon as the guests reach their next step.
    let all = ENGINE.pool.acquire_many(4);
    drop(tokio::time::timeout(Duration::from_secs(30), all).await.unwrap().unwrap());
}

#[tokio::test]
async fn memory_is_bounded() {
    let bomb = guest("(loop (drop (memory.grow (i32.const 16))) br 0)", "(memory 1)");
    let (end, _) = call(bomb, Duration::from_secs(60)).await;
    let failure = end.unwrap_err();
    assert_eq!(failure.how, BrokenHow::Trap);
    assert!(failure.what.contains("memory"), "{}", failure.what);
    let large = guest("nop", "(memory 1000)");
    assert_eq!(call(large, Duration::from_secs(60)).await.0.unwrap_err().how, BrokenHow::Trap);
    fine().await;
}

#[tokio::test]
async fn depth_and_traps_end_the_call_alone() {
    for (body, expected) in [
        ("(call $f)", "stack"),
        ("unreachable", "unreachable"),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", "divide"),
    ] {
        let (end, _) = call(guest(body, ""), Duration::from_secs(60)).await;
        let failure = end.unwrap_err();
        assert_eq!(failure.how, BrokenHow::Trap);
        assert!(failure.what.contains(expected), "{}", failure.what);
        fine().await;
    }
}

#[tokio::test]
async fn a_fault_of_the_host_ends_the_call_alone() {
    let (end, _) = call(guest("(call $break)", ""), Duration::from_secs(60)).await;
    let failure = end.unwrap_err();
    assert_eq!(failure.how, BrokenHow::Trap);
    assert!(failure.what.contains("host"), "{}", failure.what);
    fine().await;
}

/// More calls than places, one after the other: every end gives its place back.
#[tokio::test]
async fn places_come_back() {
    for _ in 0..10 {
        fine().await;
        assert!(call(guest("unreachable", ""), Duration::from_secs(60)).await.0.is_err());
    }
}

/// A text of 32 MiB, the same page 512 times over: little for the guest, much for the host, which
/// copies it.
#[tokio::test]
async fn a_flood_of_output_is_refused_before_it_is_copied() {
    let text = r#"(component
        (core module $m
            (memory (export "memory") 1)
            (func (export "f") (result i32)
                (local $at i32)
                (local.set $at (i32.const 8192))
                (loop $again
                    (local.set $at (i32.sub (local.get $at) (i32.const 8)))
                    (i32.store (local.get $at) (i32.const 0))
                    (i32.store offset=4 (local.get $at) (i32.const 65536))
                    (br_if $again (i32.gt_u (local.get $at) (i32.const 4096))))
                (i32.store (i32.const 16) (i32.const 4096))
                (i32.store (i32.const 20) (i32.const 512))
                (i32.const 16)))
        (core instance $i (instantiate $m))
        (func (export "f") (result (list (list u8)))
            (canon lift (core func $i "f") (memory (core memory $i "memory")))))"#;
    let component = Component::new(&ENGINE.wasm, wat::parse_str(text).unwrap()).unwrap();
    let template = Linker::<State>::new(&ENGINE.wasm).instantiate_pre(&component).unwrap();
    let plan = |largest| Plan {
        grants: Arc::default(),
        journal: Journal::new(LogLines::Held),
        memory: 16 * MIB,
        timeout: Duration::from_secs(60),
        largest,
    };
    let taken = async |largest| {
        let template = template.clone();
        let place = ENGINE.pool.clone().acquire_owned().await.unwrap();
        run(&ENGINE, place, plan(largest), move |store| {
            Box::pin(async move {
                let instance = template.instantiate_async(&mut *store).await?;
                let f = instance.get_typed_func::<(), (Vec<Vec<u8>>,)>(&mut *store, "f")?;
                Ok(f.call_async(&mut *store, ()).await?.0.len())
            })
        })
        .await
    };
    assert_eq!(taken(MIB).await.unwrap_err().how, BrokenHow::BadOutput);
    assert_eq!(taken(64 * MIB).await.unwrap(), 512);
}
