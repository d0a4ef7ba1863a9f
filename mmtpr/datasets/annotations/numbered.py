"""Numbers of identities and images, given while records are read."""

from array import array

from .records import PersonRecord


class NumberedRecords:
    """Numbers identities and images in the order they come, and counts.

    Holds each path and identity once, not the records.

    Args:
        pid_offset (int): Number of the first identity.

    Attributes:
        pids (dict[int | str, int]): Number of each identity.
        image_ids (dict[str, int]): Number of each image.
        lost (list[str]): Images of missing or empty captions that were
            skipped, one entry a caption.
        num_captions (int): Captions so far.
    """

    def __init__(self, pid_offset: int = 0) -> None:
        self.pid_offset = pid_offset
        self.pids: dict[int | str, int] = {}
        self.image_ids: dict[str, int] = {}
        self.lost: list[str] = []
        self.num_captions = 0
        self._first_pid = array('q')  # of each image
        self._further: set[tuple[int, int]] = set()  # image, another pid

    @property
    def num_images(self) -> int:
        """Images; one of two identities counts for each."""
        return len(self.image_ids) + len(self._further)

    def renumber(self, records: list[PersonRecord]) -> None:
        """Make identities numbers, in place.

        Args:
            records (list[PersonRecord]): The next records.
        """
        for index, record in enumerate(records):
            new = len(self._first_pid)
            image = self.image_ids.setdefault(record.path, new)
            new = len(self.pids) + self.pid_offset
            # Where each image has its own identity, one object is both.
            pid = self.pids.setdefault(
                record.pid, image if image == new else new
            )
            records[index] = record._replace(pid=pid)
            if image == len(self._first_pid):
                self._first_pid.append(pid)
            elif self._first_pid[image] != pid:
                self._further.add((image, pid))
            self.num_captions += len(record.captions)
            self.lost += lost_captions(record)


def lost_captions(record: PersonRecord) -> list[str]:
    """Name what a record lost.

    Args:
        record (PersonRecord): The record.

    Returns:
        list[str]: Its image, once for each caption that was skipped.
    """
    return [record.path] * record.lost
