//! Objects over HTTP: the bytes that were asked for, or a typed error; never others.

mod remote_cases;

use std::time::{Duration, Instant};

use remote_cases::{Reply, Server, content};
use rowmill_core::Error;
use rowmill_core::source::remote::settings::set_headers;
use rowmill_core::source::remote::{Known, probe};
use rowmill_core::source::{IoMode, Need, open};

const A: Reply = Reply::Part("\"a\"");

fn fails(server: &Server) -> Error {
    let identity = Known { size: 1000, tag: Some("\"a\"".to_owned()), is_immutable: false }.identity();
    let object = open(&server.url("x"), IoMode::Auto, Some(identity)).unwrap();
    object.buffer(10, 20).unwrap_err()
}

#[test]
fn ranges_come_as_they_are_and_nothing_beside_them() {
    let bytes = content(3 << 20);
    let server = Server::start(bytes.clone(), |_, _| A);
    let object = open(&server.url("x"), IoMode::Auto, None).unwrap();
    assert_eq!((object.len(), object.is_mapped()), (3 << 20, false));
    let before = server.asked_bytes();
    for range in [0..1, 5..5, 100..2_000_000, (3 << 20) - 7..3 << 20] {
        let found = object.buffer(range.start as u64, range.len()).unwrap();
        assert_eq!(found.as_slice(), &bytes[range.clone()], "{range:?}");
        assert!(found.is_empty() || found.as_ptr().align_offset(64) == 0);
    }
    assert_eq!(server.asked_bytes() - before, 1 + 2_000_000 - 100 + 7);
    assert!(matches!(object.buffer(3 << 20, 1), Err(Error::CorruptShard { .. })));
}

#[test]
fn a_block_comes_in_few_requests_and_only_once() {
    let bytes = content(1 << 20);
    let server = Server::start(bytes.clone(), |_, _| A);
    let object = open(&server.url("x"), IoMode::Auto, Some(probe(&server.url("x")).unwrap())).unwrap();
    let before = server.requests().len();
    // Two neighbours, one a little apart, one far away.
    let ranges = [0..50_000, 50_000..100_000, 101_000..200_000, 900_000..910_000];
    object.hold(1, &ranges, Need::Ahead);
    object.hold(1, &ranges, Need::Now);
    for range in &ranges {
        let found = object.buffer(range.start, (range.end - range.start) as usize).unwrap();
        assert_eq!(found.as_slice(), &bytes[range.start as usize..range.end as usize]);
    }
    assert_eq!(server.requests().len() - before, 2);
    object.release(1);
    object.buffer(0, 10).unwrap();
    assert_eq!(server.requests().len() - before, 3, "what was let go of is not kept");
}

#[test]
fn parts_that_blocks_have_cut_otherwise_come_once() {
    let bytes = content(40 << 20);
    let server = Server::start(bytes.clone(), |_, _| A);
    let object = open(&server.url("x"), IoMode::Auto, Some(probe(&server.url("x")).unwrap())).unwrap();
    // Three columns that lie near each other are fetched together, in pieces of their own.
    object.hold(1, &[1000..3 << 20, 3 << 20..22 << 20, 22 << 20..30 << 20], Need::Now);
    for range in [3 << 20..22 << 20, 1000..30 << 20, (5 << 20) + 3..25 << 20, 20 << 20..39 << 20] {
        let found = object.buffer(range.start as u64, range.len()).unwrap();
        assert!(found.as_slice() == &bytes[range.clone()], "{range:?}");
    }
    object.release(1);
}

#[test]
fn passing_trouble_passes_and_lasting_trouble_is_told() {
    let bytes = content(1000);
    let server = Server::start(bytes.clone(), |_, before| match before {
        0 => Reply::Status(503, vec![]),
        1 => Reply::Cut(5),
        2 => Reply::Status(500, vec![]),
        _ => A,
    });
    let identity = Known { size: 1000, tag: Some("\"a\"".to_owned()), is_immutable: false }.identity();
    let object = open(&server.url("x"), IoMode::Auto, Some(identity)).unwrap();
    assert_eq!(object.buffer(10, 20).unwrap().as_slice(), &bytes[10..30]);
    assert_eq!(server.requests().len(), 4);

    let server = Server::start(bytes, |_, _| Reply::Status(502, vec![]));
    let error = fails(&server);
    assert!(matches!(&error, Error::Unreachable { .. }) && error.to_string().contains("502"), "{error}");
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn a_server_that_says_when_is_asked_then() {
    let server = Server::start(content(1000), |_, before| match before {
        0..6 => Reply::Status(429, vec![("retry-after", "0.2".to_owned())]),
        _ => A,
    });
    let begun = Instant::now();
    let identity = Known { size: 1000, tag: None, is_immutable: true }.identity();
    let object = open(&server.url("x"), IoMode::Auto, Some(identity)).unwrap();
    // More often than a request is tried otherwise.
    object.buffer(0, 1000).unwrap();
    assert_eq!(server.requests().len(), 7);
    assert!(begun.elapsed() >= Duration::from_millis(1200), "{:?}", begun.elapsed());
}

#[test]
fn another_version_is_an_error_and_never_mixed_in() {
    let server = Server::start(content(1000), |_, before| if before < 2 { A } else { Reply::Part("\"b\"") });
    let object = open(&server.url("x"), IoMode::Auto, None).unwrap();
    object.buffer(0, 500).unwrap();
    let error = object.buffer(500, 500).unwrap_err();
    assert!(matches!(&error, Error::CorruptShard { .. }) && error.to_string().contains("changed"), "{error}");

    let server = Server::start(content(999), |_, _| A);
    assert!(matches!(fails(&server), Error::CorruptShard { .. }), "another size");
    let server = Server::start(content(1000), |_, _| Reply::Status(416, vec![]));
    assert!(matches!(fails(&server), Error::CorruptShard { .. }));
}

#[test]
fn what_is_not_what_was_asked_for_is_refused() {
    let server = Server::start(content(1000), |_, _| Reply::Shifted);
    assert!(matches!(fails(&server), Error::Unsupported { .. }));
    for (status, is_expected) in [
        (401, (|error| matches!(error, Error::Io { .. })) as fn(&Error) -> bool),
        (403, |error| matches!(error, Error::Io { .. })),
        (404, |error| matches!(error, Error::MissingShard { .. })),
        (410, |error| matches!(error, Error::MissingShard { .. })),
        (418, |error| matches!(error, Error::Unsupported { .. })),
    ] {
        let server = Server::start(content(1000), move |_, _| Reply::Status(status, vec![]));
        let error = fails(&server);
        assert!(is_expected(&error), "{status}: {error:?}");
        assert_eq!(server.requests().len(), 1, "asking again would not help");
    }
}

#[test]
fn a_server_without_ranges_is_read_through_where_that_is_little() {
    let bytes = content(1000);
    let server = Server::start(bytes.clone(), |_, _| Reply::Whole);
    let object = open(&server.url("x"), IoMode::Auto, None).unwrap();
    assert_eq!(object.buffer(10, 20).unwrap().as_slice(), &bytes[10..30]);

    let server = Server::start(content(9 << 20), |_, _| Reply::Whole);
    let identity = Known { size: 9 << 20, tag: None, is_immutable: true }.identity();
    let error = open(&server.url("x"), IoMode::Auto, Some(identity)).unwrap().buffer(10, 20).unwrap_err();
    assert!(matches!(&error, Error::Unsupported { .. }) && error.to_string().contains("Range"), "{error}");
}

#[test]
fn a_token_stays_with_its_origin_where_a_server_sends_us_on() {
    let store = Server::start(content(1000), |_, _| A);
    let place = store.url("signed?sig=1").display().to_string();
    let hub = Server::start(content(1000), move |_, _| Reply::Status(302, vec![("location", place.clone())]));
    set_headers(&hub.origin, Some(vec![("authorization".to_owned(), "Bearer secret".to_owned())])).unwrap();
    let object = open(&hub.url("x"), IoMode::Auto, None).unwrap();
    for at in 0..3 {
        object.buffer(at * 100, 100).unwrap();
    }
    assert!(hub.requests().iter().all(|request| request.headers["authorization"] == "Bearer secret"));
    assert!(store.requests().iter().all(|request| !request.headers.contains_key("authorization")));
    assert_eq!(store.requests().len(), 4);
    // Once to learn the version, once to read: from then on its place is known.
    assert_eq!(hub.requests().len(), 2);
    assert!(!format!("{object:?}").contains("sig=1") && !format!("{object:?}").contains("secret"));
}

#[test]
fn an_expired_place_is_asked_for_again_at_its_first_server() {
    let store = Server::start(content(1000), |request, _| {
        if request.path.contains("old") { Reply::Status(403, vec![]) } else { A }
    });
    let places = ["fresh", "old", "new"].map(|name| store.url(name).display().to_string());
    let hub = Server::start(content(1000), move |_, before| {
        Reply::Status(302, vec![("location", places[before.min(2)].clone())])
    });
    let identity = probe(&hub.url("x")).unwrap();
    let object = open(&hub.url("x"), IoMode::Auto, Some(identity)).unwrap();
    // The place that it hands out second refuses: it is asked for another.
    object.buffer(0, 10).unwrap();
    assert_eq!(hub.requests().len(), 3);
    // One that hands out nothing else is not asked for ever.
    let refused = store.url("old").display().to_string();
    let hub =
        Server::start(content(1000), move |_, _| Reply::Status(302, vec![("location", refused.clone())]));
    let object = open(&hub.url("x"), IoMode::Auto, Some(identity)).unwrap();
    assert!(matches!(object.buffer(0, 10), Err(Error::Io { .. })));
    assert!(hub.requests().len() < 10);
    // A place that worked and does not any more.
    let store =
        Server::start(content(1000), |_, before| if before == 1 { Reply::Status(403, vec![]) } else { A });
    let place = store.url("p").display().to_string();
    let hub = Server::start(content(1000), move |_, _| Reply::Status(302, vec![("location", place.clone())]));
    let known = Known { size: 1000, tag: None, is_immutable: true }.identity();
    let object = open(&hub.url("x"), IoMode::Auto, Some(known)).unwrap();
    object.buffer(0, 10).unwrap();
    object.buffer(0, 10).unwrap();
    assert_eq!((hub.requests().len(), store.requests().len()), (2, 3));
}

#[test]
fn a_loop_of_redirects_ends() {
    let server = Server::start(content(1000), |_, _| Reply::Status(302, vec![("location", "/x".to_owned())]));
    assert!(matches!(fails(&server), Error::Unsupported { .. }));
    assert!(server.requests().len() <= 11);
}

#[test]
fn a_host_that_is_not_there_is_unreachable() {
    remote_cases::impatient();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = open(format!("http://{gone}/x").as_ref(), IoMode::Auto, None).map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[test]
fn many_threads_read_one_object_at_a_time() {
    let bytes = content(2 << 20);
    let server = Server::start(bytes.clone(), |_, before| if before % 7 == 3 { Reply::Cut(0) } else { A });
    let identity = Known { size: 2 << 20, tag: Some("a".to_owned()), is_immutable: false }.identity();
    let object = open(&server.url("x"), IoMode::Auto, Some(identity)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let (object, bytes) = (&object, &bytes);
            scope.spawn(move || {
                for turn in 0..20_u64 {
                    let start = (thread * 7919 + turn * 104_729) % (1 << 20);
                    let range = start..start + 5000;
                    object.hold(thread << 32 | turn, std::slice::from_ref(&range), Need::Ahead);
                    let found = object.buffer(start, 5000).unwrap();
                    assert_eq!(found.as_slice(), &bytes[start as usize..start as usize + 5000]);
                    object.release(thread << 32 | turn);
                }
            });
        }
    });
}
