"""Puts the listener's application together: the one place where its route table is made."""

from __future__ import annotations

from dragoman.admin.acts import Acts
from dragoman.admin.appeals import Appeals
from dragoman.admin.context import AdminContext
from dragoman.admin.decisions import Decisions
from dragoman.admin.documents import Documents
from dragoman.admin.entry import Entry
from dragoman.admin.filings import FilingPages
from dragoman.admin.incidents import Incidents
from dragoman.admin.kept_decisions import KeptDecisions
from dragoman.admin.packs import PackPages
from dragoman.admin.pages import Pages
from dragoman.admin.readiness import ReadinessPages
from dragoman.admin.reviews import Reviews
from dragoman.admin.setup import Setup
from dragoman.admin.setup_changes import SetupChanges
from dragoman.admin.simulation import SimulationPages
from dragoman.admin.site import AdminSite
from dragoman.admin.table import RouteTable
from dragoman.admin.timeline import Timelines
from dragoman.admin.view import AdminView


def admin_table(context: AdminContext, view: AdminView) -> RouteTable:
    """Every route there is."""
    entry, pages, acts = Entry(context, view), Pages(context, view), Acts(context, view)
    setup, documents, appeals = Setup(context, view), Documents(context, view), Appeals(context, view)
    changes = SetupChanges(context, view)
    decisions = (Decisions(context, view), KeptDecisions(context, view))
    law = (
        ReadinessPages(context, view, changes.put),
        FilingPages(context, view),
        *decisions,
        PackPages(context, view),
        Timelines(context, view),
        SimulationPages(context, view),
        Incidents(context, view),
    )
    reviews = Reviews(context, view)
    groups = (entry, pages, setup, changes, documents, acts, appeals, reviews, *law)
    table = RouteTable([route for one in groups for route in one.routes()])
    entry.table = pages.table = setup.table = table
    return table


def admin_site(context: AdminContext) -> tuple[AdminSite, RouteTable]:
    """The application and its table."""
    view = AdminView(context.name, context.sessions.csrf, secure=context.secure)
    table = admin_table(context, view)
    return AdminSite(context, table, view), table
