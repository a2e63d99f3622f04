//! The routes of the service's HTTP server, those of adapters included, for the reference.

/// One route.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Method.
    pub method: &'static str,
    /// Path.
    pub path: &'static str,
    /// One sentence.
    pub summary: &'static str,
}

/// All routes.
pub const ROUTES: &[Route] = &[
    Route { method: "GET", path: "/-/healthy", summary: "200 while the process answers." },
    Route { method: "GET", path: "/-/ready", summary: "200 once samples are taken." },
    Route { method: "POST", path: "/-/reload", summary: "Loads, checks and applies the config file." },
    Route { method: "GET", path: "/metrics", summary: "Own health as Prometheus text." },
];
