"""monitor.twilio.com/v1: the debugger's alerts (https://www.twilio.com/docs/usage/monitor-alert)."""

from __future__ import annotations

from typing import Final

from local.twilio import paging, render
from local.twilio.routes import Answer, Exchange, Routes

ROUTES: Final = Routes("monitor")


@ROUTES.add("GET", "/v1/Alerts")
def list_alerts(exchange: Exchange) -> Answer:
    """List alerts by LogLevel, StartDate and EndDate."""
    alerts = exchange.carrier.alerts.search(exchange.account.sid, exchange.query)
    url = f"https://monitor.twilio.com{exchange.path}"
    return 200, paging.v1(url, "alerts", alerts, exchange.query, render.alert, 1000)


@ROUTES.add("GET", "/v1/Alerts/<sid>")
def fetch_alert(exchange: Exchange, sid: str) -> Answer:
    """Fetch an alert with its request and response."""
    return 200, render.alert(exchange.carrier.alerts.fetch(exchange.account.sid, sid), whole=True)
