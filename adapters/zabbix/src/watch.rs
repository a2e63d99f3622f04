//! The loop of sources that look at the API now and then and tell what they see.

use std::time::Duration;

use watchbell_adapter_api::seldom::Seldom;
use watchbell_adapter_api::{Clock, SourceContext};

use crate::api::{Api, ApiError};

/// The longest pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What is done each time.
pub(crate) trait Look: Send {
    /// Asks and tells. What was told before holds where it fails.
    fn look(&mut self, api: &Api, context: &SourceContext) -> impl Future<Output = Result<(), ApiError>> + Send;
}

/// Looks each `interval` until the shutdown.
pub(crate) async fn watch(api: Api, interval: Duration, context: SourceContext, mut look: impl Look) {
    let (mut shutdown, mut said, mut failures) = (context.shutdown.clone(), Seldom::default(), 0u32);
    loop {
        let looked = tokio::select! {
            looked = look.look(&api, &context) => looked,
            () = shutdown.wait() => break,
        };
        let source = &*context.name;
        let pause = match looked {
            Ok(()) => {
                context.health.well("api");
                if failures > 0 {
                    tracing::info!(source, url = api.url(), "Zabbix answers again");
                    failures = 0;
                }
                interval
            }
            Err(error) => {
                context.health.failing("api", &error, context.clock.now_ms());
                if said.may(&format!("{:?} {}", error.kind, error.method), context.clock.now_ms()) {
                    tracing::warn!(source, %error, "Zabbix can not be read; what it told before holds until it can");
                }
                failures += 1;
                interval.saturating_mul(1 << failures.min(5)).min(LONGEST_PAUSE.max(interval))
            }
        };
        if !shutdown.sleep(pause).await {
            break;
        }
    }
    // The server may be away as well.
    let _ = tokio::time::timeout(Duration::from_secs(2), api.log_out()).await;
}
