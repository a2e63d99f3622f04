//! A config that is loaded again while the service runs.

use std::sync::{Arc, PoisonError};

use super::{Current, Service, judge_config};
use crate::config::{Difference, Outline, Settings};
use crate::pipeline::rules;
use crate::pipeline::source_watch::SourceRow;
use crate::telemetry::{logging, metrics};

impl Service {
    /// Loads the config again and applies what changed. A config with problems changes nothing.
    pub(super) async fn reload(&mut self) -> Result<Vec<String>, Vec<String>> {
        let result = self.try_reload().await;
        let outcome = if result.is_ok() { "success" } else { "failure" };
        self.around.metrics.counter(&metrics::RELOADS, &[outcome]).inc();
        self.around.metrics.gauge(&metrics::LAST_RELOAD, &[]).set(f64::from(u8::from(result.is_ok())));
        match &result {
            Ok(changes) => tracing::info!(changes = changes.join("; "), "config reloaded"),
            Err(problems) => {
                tracing::error!(problems = problems.join("\n"), "config not reloaded; the old one stays in force")
            }
        }
        result
    }

    async fn try_reload(&mut self) -> Result<Vec<String>, Vec<String>> {
        let checked = self.origin.load()?;
        self.kinds.note(&checked.sources);
        let outline = Outline::of(&checked);
        let difference = Difference::between(&self.outline, &outline);
        let mut said = Vec::new();
        said.extend(self.apply_settings(&checked.settings, checked.source_limits().into(), &difference).await?);

        for name in difference.sources.removed.iter().chain(&difference.sources.changed) {
            if let Some(component) = self.sources.remove(name) {
                component.stop().await;
            }
            if difference.sources.removed.contains(name) {
                self.around.context.forget(name);
            }
        }
        for name in difference.sinks.removed.iter().chain(&difference.sinks.changed) {
            match self.sinks.remove(name) {
                Some(component) => component.stop().await,
                None => self.alerts.remove_sink(name).await,
            }
        }
        let wanted = |list: &[String], other: &[String], name: &str| list.iter().chain(other).any(|n| n == name);
        for sink in checked.sinks {
            if wanted(&difference.sinks.added, &difference.sinks.changed, &sink.name) {
                self.start_sink(sink).await;
            }
        }
        for source in checked.sources {
            if wanted(&difference.sources.added, &difference.sources.changed, &source.name) {
                self.start_source(source);
            }
        }
        for (what, changes) in [("source", &difference.sources), ("sink", &difference.sinks)] {
            said.extend(changes.added.iter().map(|name| format!("{what} `{name}` added")));
            said.extend(changes.removed.iter().map(|name| format!("{what} `{name}` removed")));
            said.extend(changes.changed.iter().map(|name| format!("{what} `{name}` started anew")));
        }
        said.extend(difference.limits.iter().map(|name| format!("limit of series of source `{name}` changed")));
        if difference.history {
            said.push("`history` takes effect at the next start".to_owned());
        }
        said.extend(difference.restart.iter().map(|path| format!("`{path}` takes effect at the next start")));
        self.outline = outline;
        Ok(said)
    }

    /// Rules are read anew at each reload, since their files may have changed where the config did not.
    async fn apply_settings(
        &mut self,
        new: &Settings,
        sources: Arc<[SourceRow]>,
        difference: &Difference,
    ) -> Result<Vec<String>, Vec<String>> {
        let loaded = rules::load(new)?;
        self.alerts.set_rules(new).await?;
        let judging = judge_config(new);
        // The number of shards is that of the start, whatever the config says now.
        let limits = rules::source_limits(&sources, self.shards.len());
        let now = Current { rules: loaded, judging, sources };
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = now.clone();
        for shard in self.shards.iter() {
            let (now, limits) = (now.clone(), limits.clone());
            // A shard that fails here starts anew with what is current.
            let _ = shard
                .call(move |shard| {
                    shard.set_rules(now.rules);
                    shard.set_judging(now.judging);
                    shard.set_source_limits(limits);
                })
                .await;
        }
        self.book.look_anew().await;
        logging::set_level(new.log.level);
        let mut said: Vec<String> = difference.settings.iter().map(|path| format!("`{path}` changed")).collect();
        // The folder is that of the start, whatever the config says now.
        let settings = Settings { data_dir: self.around.data_dir.clone(), ..new.clone() };
        if let Err(error) = self.ticking.renew(&settings).await {
            said.push(format!("whole machines and peers are not judged any more: {error:#}"));
        }
        Ok(said)
    }
}
