//! Waiting for something that another process is about to do.

use std::time::{Duration, Instant};

/// Asks `question` every 50 ms until it has an answer, and says how long that took.
///
/// # Panics
///
/// When there is no answer within `limit`.
pub(crate) async fn until<T>(
    what: &str,
    limit: Duration,
    mut question: impl AsyncFnMut() -> Option<T>,
) -> (T, Duration) {
    let start = Instant::now();
    loop {
        if let Some(answer) = question().await {
            return (answer, start.elapsed());
        }
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
