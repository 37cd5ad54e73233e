//! No body makes a parse panic, and what goes to a provider is JSON wherever the body was accepted.
#![no_main]

use dragoman_engine::request::{BodyLimits, FieldTable, Request, Route};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    for route in [Route::Chat, Route::Completions] {
        let read = Request::parse(route, body.to_vec(), &FieldTable::default(), BodyLimits::default());
        if let Ok(request) = read {
            let up = request.upstream_body("up", true);
            serde_json::from_slice::<serde::de::IgnoredAny>(&up).expect("the provider's body is JSON");
        }
    }
});
