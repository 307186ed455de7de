//! The routes of alerts and notifications.

use super::super::{channels, notifications};
use super::{Access, DELETE, GET, POST, Role, Route};
use axum::http::Method;

const PUT_OR_PATCH: &[Method] = &[Method::PUT, Method::PATCH];

pub(super) const ROUTES: &[Route] = &[
    Route {
        methods: GET,
        path: "/api/v1/monitoring/notification-channels",
        access: Access::Role(Role::Admin),
        handler: |it| Box::pin(channels::list(it)),
        aliases: &[],
        summary: "List the notification channels, their secrets masked",
    },
    Route {
        methods: POST,
        path: "/api/v1/monitoring/notification-channels",
        access: Access::Role(Role::Admin),
        handler: |it| Box::pin(channels::create(it)),
        aliases: &[],
        summary: "Make a notification channel: email, slack, webhook or alertmanager",
    },
    Route {
        methods: GET,
        path: "/api/v1/monitoring/notification-channels/{id}",
        access: Access::Role(Role::Admin),
        handler: |it| Box::pin(channels::get(it)),
        aliases: &[],
        summary: "Get the notification channel of an id or name",
    },
    Route {
        methods: PUT_OR_PATCH,
        path: "/api/v1/monitoring/notification-channels/{id}",
        access: Access::Role(Role::Admin),
        handler: |it| Box::pin(channels::change(it)),
        aliases: &[],
        summary: "Change what is given of a notification channel; a masked secret stays",
    },
    Route {
        methods: DELETE,
        path: "/api/v1/monitoring/notification-channels/{id}",
        access: Access::Role(Role::Admin),
        handler: |it| Box::pin(channels::remove(it)),
        aliases: &[],
        summary: "Remove a notification channel",
    },
    Route {
        methods: POST,
        path: "/api/v1/monitoring/notification-channels/{id}/test",
        access: Access::Role(Role::Admin),
        handler: |it| Box::pin(channels::test(it)),
        aliases: &[],
        summary: "Send a test to a notification channel and get its server's own answer",
    },
    Route {
        methods: GET,
        path: "/api/v1/monitoring/notifications",
        access: Access::Role(Role::Read),
        handler: |it| Box::pin(notifications::list(it)),
        aliases: &[],
        summary: "List what became of notifications, the newest first",
    },
    Route {
        methods: DELETE,
        path: "/api/v1/monitoring/notifications",
        access: Access::Role(Role::Control),
        handler: |it| Box::pin(notifications::purge_all(it)),
        aliases: &[],
        summary: "Remove the notifications that were given up",
    },
    Route {
        methods: POST,
        path: "/api/v1/monitoring/notifications/retry",
        access: Access::Role(Role::Control),
        handler: |it| Box::pin(notifications::retry_all(it)),
        aliases: &[],
        summary: "Try the notifications that were given up once more",
    },
    Route {
        methods: GET,
        path: "/api/v1/monitoring/notifications/{id}",
        access: Access::Role(Role::Read),
        handler: |it| Box::pin(notifications::get(it)),
        aliases: &[],
        summary: "Get what became of a notification, with its attempts",
    },
    Route {
        methods: DELETE,
        path: "/api/v1/monitoring/notifications/{id}",
        access: Access::Role(Role::Control),
        handler: |it| Box::pin(notifications::purge(it)),
        aliases: &[],
        summary: "Remove a notification that was given up",
    },
    Route {
        methods: POST,
        path: "/api/v1/monitoring/notifications/{id}/retry",
        access: Access::Role(Role::Control),
        handler: |it| Box::pin(notifications::retry(it)),
        aliases: &[],
        summary: "Try a notification that was given up once more",
    },
];
