"""What `install` and `uninstall` need as a client."""

import asyncio

import pytest
from distributed import Client

import blockpool.dask


@pytest.fixture(params=[blockpool.dask.install, blockpool.dask.uninstall])
def use(request):
    """Each of the functions that take a client."""
    return request.param


@pytest.mark.parametrize("wrong", ["tcp://scheduler:8786", None])
def test_what_is_no_client_is_refused(use, wrong):
    """An address, for example, is a TypeError that says what to pass."""
    with pytest.raises(TypeError, match=r"must be a distributed\.Client.*not (str|NoneType)"):
        use(wrong)


def test_an_asynchronous_client_is_refused(pair, use):
    """With an asynchronous client nothing would happen before the call returns."""
    asyncio.run(_is_refused(use, pair.client.scheduler.address))


async def _is_refused(use, address):
    async with Client(address, asynchronous=True, set_as_default=False) as client:
        with pytest.raises(ValueError, match="asynchronous"):
            use(client)
