"""The data plane that one end of a simulated negotiation believes in. An effect that can't be carried out is a mistake
of the negotiation's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ipsecd.ike.effects import Effect, InstallInbound, InstallOutbound, MovePath, RemoveInbound, RemoveOutbound


@dataclass
class Plane:
    """What is installed now, in the order of its coming."""

    inbound: dict[bytes, InstallInbound] = field(default_factory=dict)
    outbound: dict[tuple[bytes, bytes], InstallOutbound] = field(default_factory=dict)  # by (SPI, inbound SPI)

    def carry_out(self, effect: Effect) -> None:
        match effect:
            case InstallInbound():
                assert effect.spi not in self.inbound
                self.inbound[effect.spi] = effect
            case InstallOutbound():
                assert effect.inbound in self.inbound
                self.outbound[effect.spi, effect.inbound] = effect
            case RemoveInbound(spi):
                del self.inbound[spi]
            case RemoveOutbound(spi, inbound):
                del self.outbound[spi, inbound]
            case MovePath(spis, path):
                for spi in spis:
                    self.inbound[spi] = replace(self.inbound[spi], path=path)
                for key, installed in self.outbound.items():
                    if installed.inbound in spis:
                        self.outbound[key] = replace(installed, path=path)
