//! The deliveries that a change has made.

use futures::stream::{self, StreamExt, TryStreamExt};
use gatepost_domain::record::Webhook;

use super::deliveries::DeliveryView;
use super::read::WebhookFilter;
use crate::control_plane::ControlPlane;
use crate::failure::Result;
use crate::request_context::RequestContext;
use crate::use_cases::events::VisibleChange;
use crate::use_cases::pagination::PageRequest;

/// Deliveries that are looked up at the same time.
const CONCURRENT_LOOKUPS: usize = 16;

/// A delivery with its webhook.
#[derive(Debug, Clone)]
pub struct WebhookDelivery {
    pub webhook: Webhook,
    pub view: DeliveryView,
}

impl ControlPlane {
    /// Returns the deliveries of a change that are kept, in the order of their webhooks. Each webhook that the caller sees
    /// and that receives events of the change's project costs one look-up, so its other deliveries are not read. Those of
    /// webhooks that have been deleted are not returned.
    pub async fn deliveries_of_change(
        &self,
        context: &RequestContext,
        change: &VisibleChange,
    ) -> Result<Vec<WebhookDelivery>> {
        if change.content.action.topic().is_none() {
            return Ok(Vec::new());
        }
        let project = change.content.metadata.project.as_ref();
        let all = self.webhooks(context, &WebhookFilter::default(), &PageRequest::default()).await?.items;
        let receivers =
            all.into_iter().filter(|webhook| webhook.project.is_none() || webhook.project.as_ref() == project);
        let _permit = self.acquire_list_permit(context).await?;
        let lookups = receivers.map(|webhook| self.delivery_to(webhook, change));
        let found = stream::iter(lookups).buffered(CONCURRENT_LOOKUPS).try_collect::<Vec<_>>().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn delivery_to(&self, webhook: Webhook, change: &VisibleChange) -> Result<Option<WebhookDelivery>> {
        let delivery = self.store.home(webhook.id.partition()).delivery(&webhook.id, &change.event).await?;
        Ok(delivery.map(|delivery| WebhookDelivery { view: DeliveryView::new(delivery, &webhook), webhook }))
    }
}
