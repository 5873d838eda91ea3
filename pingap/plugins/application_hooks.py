"""The pluggy manager of the hooks that distributions implement: those of pingap and of each other."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import pluggy
from pluggy import HookimplOpts

from pingap import hookspecs
from pingap.plugins.chains import ContractError

PREFIX: Final = "pingap_"
"""The prefix of pingap's own application hooks."""


class ApplicationHooks(pluggy.PluginManager):
    """The manager of application hooks; phases belong to the managers of locations."""

    def __init__(self) -> None:
        super().__init__("pingap")
        self.add_hookspecs(_ApplicationSpecs)
        self._defined: list[object] = []
        self._broken: list[tuple[object, Exception]] = []
        """Specs that could not be added, and the reason: they cannot be added twice."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> HookimplOpts | None:
        """Accept every implementation except those of phases."""
        opts = super().parse_hookimpl_opts(plugin, name)
        if opts is None or (opts.get("specname") or name) in hookspecs.PHASES:
            return None
        if name in hookspecs.INSTANCE_HOOKS and isinstance(plugin, type):
            return None  # a method of its instances
        return opts

    def take_specs(self) -> None:
        """Add the hooks that distributions define (``pingap_hookspecs``).

        :raises ContractError: a name is taken, or no function is marked.
        """
        for specs in self.hook.pingap_hookspecs():
            for one in specs:
                if not any(one is known for known in self._defined):
                    self._define(one)

    def _define(self, specs: Any) -> None:
        for name in dir(specs):
            if self.parse_hookspec_opts(specs, name) is None:
                continue
            if name in hookspecs.PHASES or name.startswith(PREFIX):
                raise ContractError(f'the hook "{name}" belongs to pingap: choose another name')
        for one, known in self._broken:
            if one is specs:
                raise known
        try:
            self.add_hookspecs(specs)
        except (ValueError, pluggy.PluginValidationError) as error:
            # No function is marked, another distribution has the name, or an implementation does not fit.
            self._broken.append((specs, ContractError(str(error))))
            raise ContractError(str(error)) from None
        self._defined.append(specs)

    def check_names(self, waiting: Collection[object]) -> None:
        """Check that every implemented hook is defined.

        :param waiting: plugins whose hooks may be those of a distribution that is not loaded yet.
        :raises pluggy.PluginValidationError: a hook that does not exist.
        """
        for name, caller in vars(self.hook).items():
            if caller.has_spec():
                continue
            for impl in caller.get_hookimpls():
                if name.startswith(PREFIX) or not any(impl.plugin is one for one in waiting):
                    text = f"unknown hook {name!r} in plugin {impl.plugin!r}"
                    raise pluggy.PluginValidationError(impl.plugin, text)


class _ApplicationSpecs:
    """The application hooks of ``hookspecs``, without the phases."""


for _name in hookspecs.APPLICATION_HOOKS:
    setattr(_ApplicationSpecs, _name, staticmethod(getattr(hookspecs, _name)))
