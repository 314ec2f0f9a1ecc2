"""Who calls, and what they may do."""

from __future__ import annotations

from dataclasses import dataclass

from hub_server.repos import Repo


@dataclass(frozen=True)
class User:
    """An account and the role of its token: "read" or "write"."""

    name: str
    role: str = "write"
    orgs: tuple[str, ...] = ()

    def owns(self, namespace: str) -> bool:
        return namespace in (self.name, *self.orgs)

    def describe(self) -> dict[str, object]:
        """What whoami answers."""
        return {
            "type": "user",
            "id": self.name,
            "name": self.name,
            "fullname": self.name,
            "email": f"{self.name}@example.com",
            "isPro": False,
            "orgs": [{"type": "org", "name": org, "roleInOrg": "write"} for org in self.orgs],
            "auth": {"type": "access_token", "accessToken": {"displayName": "test", "role": self.role}},
        }


def may_see(user: User | None, repo: Repo) -> bool:
    return not repo.private or (user is not None and (user.owns(repo.owner) or user.name in repo.visitors))


def may_read(user: User | None, repo: Repo) -> bool:
    """Whether the files may be read, too."""
    if not repo.gated:
        return True
    return user is not None and (user.owns(repo.owner) or user.name in repo.approved)


def may_write(user: User | None, namespace: str) -> bool:
    return user is not None and user.role == "write" and user.owns(namespace)
