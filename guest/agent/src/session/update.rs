//! New limits of a session.

use serde_json::Value;

use super::entry::Session;
use super::table::Table;
use crate::failure::Failure;
use crate::guest::huge_pages;

const STAGE: &str = "update session";

/// On an error nothing has changed. More huge pages are there before the limit says so, and fewer after it.
pub async fn update(table: &Table, session: &Session, resources: &Value) -> Result<(), Failure> {
    let container = &session.container;
    let wanted = huge_pages::wanted(STAGE, Some(resources))?;
    let before = table.huge_pages.grow(STAGE, &container.id, &wanted).await?;
    let updated = table.runtime.update(container, resources).await;
    let pages = if updated.is_ok() { &wanted } else { &before };
    table.huge_pages.settle(&container.id, pages).await;
    updated
}
