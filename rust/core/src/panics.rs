//! Panics as values: what libraries throw on malformed bytes becomes a text, and nothing is printed.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// What `run` returns, or the text of its panic and the place of it.
pub(crate) fn guarded<R>(run: impl FnOnce() -> R) -> Result<R, String> {
    silence_guarded_threads();
    let was_guarded = IS_GUARDED.replace(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(run));
    IS_GUARDED.set(was_guarded);
    outcome.map_err(|payload| {
        let place = PLACE.take();
        format!("{} (at {place})", payload_text(payload.as_ref()))
    })
}

// The hook is the process's; ours hands every panic on that is not inside `guarded`.
fn silence_guarded_threads() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IS_GUARDED.try_with(Cell::get).unwrap_or(false) {
                let place = info.location().map(ToString::to_string).unwrap_or_default();
                PLACE.set(place);
            } else {
                before(info);
            }
        }));
    });
}

fn payload_text(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_text_and_its_place() {
        let text = guarded(|| panic!("{} too many", 3)).map(|(): ()| ()).unwrap_err();
        assert!(text.starts_with("3 too many (at ") && text.contains("panics.rs"), "{text}");
        assert_eq!(guarded(|| 7), Ok(7));
    }
}
