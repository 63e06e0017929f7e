//! Something to be done on a server and a home, and how it is when it is done.

use std::process::Command;

use super::site::{Left, More, Site};
use super::{scenarios, soak};
use crate::world::tenant;

/// The tenants of each scenario: a step of a kind is passed at least once for each.
pub const TENANTS: [&str; 5] = ["blog", "cafe", "erp", "shop", "wiki"];

pub const NOTHING: More = More { roles: &[], credentials: &[] };

/// Something to be done, and how it is when it is done.
pub struct Scenario {
    pub name: &'static str,
    /// What was declared and applied before.
    pub before: Option<&'static str>,
    /// What somebody else did then.
    pub damage: fn(&mut Site),
    /// The sessions that are there while it is done.
    pub meanwhile: fn(&mut Site),
    pub task: Task,
    pub left: Left,
    /// What each tenant has afterwards beside its own.
    pub more: More,
    /// How many tenants it is about.
    pub tenants: usize,
}

pub enum Task {
    Apply {
        spec: &'static str,
        options: &'static [&'static str],
    },
    /// Declares a login beside each tenant that has no database of its own.
    Watch,
    Delete,
    Retire,
}

const APPLIED: [&str; 5] = ["apply", "-f", "server.yaml", "-f", "tenants.yaml"];

pub const DELETE: [&str; 6] = ["delete", "--yes", "-f", "server.yaml", "-f", "tenants.yaml"];

impl Scenario {
    /// A server on which only the task is left to do; [`Scenario::begin`] goes back to there.
    pub fn site(&self, major: u32) -> Site {
        let tenants = if soak() { &TENANTS[..] } else { &TENANTS[..self.tenants] };
        let mut site = Site::new(major, tenants);
        if let Some(spec) = self.before {
            site.world.apply(&all(&site, spec)).exits(0);
            site.look();
        }
        (self.damage)(&mut site);
        match &self.task {
            Task::Apply { spec, .. } => drop(site.world.write("tenants.yaml", &all(&site, spec))),
            Task::Watch => drop(site.world.write("tenants.yaml", &(all(&site, scenarios::FULL) + &watching(&site)))),
            Task::Delete | Task::Retire => {}
        }
        site.keep();
        site
    }

    /// Goes back to where only the task is left to do.
    pub fn begin(&self, site: &mut Site) {
        site.go_back();
        (self.meanwhile)(site);
    }

    /// The task.
    pub fn command(&self, site: &Site) -> Command {
        match &self.task {
            Task::Delete => site.world.command(&DELETE),
            Task::Retire => site.world.command(&[&["rotate", "--retire", "--yes"], site.tenants].concat()),
            Task::Apply { options, .. } => {
                let mut command = site.world.command(&APPLIED);
                command.args(*options);
                command
            }
            Task::Watch => site.world.command(&APPLIED),
        }
    }

    /// Whether the task is done, and nothing else.
    #[track_caller]
    pub fn check(&self, site: &mut Site) {
        let left = site.tenants.iter().map(|tenant| ((*tenant).to_owned(), self.left)).collect();
        site.check(left, self.more);
        if !matches!(self.task, Task::Delete) {
            site.is_as_declared();
        }
    }
}

/// The same declaration for each tenant.
pub fn all(site: &Site, spec: &str) -> String {
    site.tenants.iter().map(|name| tenant(name, spec)).collect()
}

/// A role without a database of its own for each tenant.
fn watching(site: &Site) -> String {
    let role = |tenant: &&str| {
        format!("---\napiVersion: tenantdb.dev/v1alpha1\nkind: TenantRole\nmetadata: {{name: watch-{tenant}}}\n")
    };
    site.tenants.iter().map(role).collect()
}
