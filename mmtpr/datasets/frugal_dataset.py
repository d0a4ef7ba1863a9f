"""Loading millions of samples without waste."""

import gc
import pickle

import numpy as np
from mmengine.dataset import BaseDataset


class FrugalDataset(BaseDataset):
    """A dataset of mmengine that takes half the time and memory to load.

    Args:
        **kwargs: Of :class:`mmengine.dataset.BaseDataset`.
    """

    def full_init(self) -> None:
        """Load the annotations.

        Python's cycle collector rests meanwhile: it would walk over millions
        of records again and again and double the time.
        """
        collecting = gc.isenabled()
        gc.disable()
        try:
            super().full_init()
        finally:
            if collecting:
                gc.enable()

    def _serialize_data(self) -> tuple[np.ndarray, np.ndarray]:
        """Pickle the samples one by one, freeing them on the way.

        mmengine's own keeps an array for each sample until the end, which
        for 1.5 M pairs doubles the memory of loading.
        """
        ends = np.empty(len(self.data_list), dtype=np.int64)
        buffer = bytearray()
        for index, sample in enumerate(self.data_list):
            buffer += pickle.dumps(sample, protocol=4)
            ends[index] = len(buffer)
            self.data_list[index] = None
        self.data_list.clear()
        return np.frombuffer(buffer, dtype=np.uint8), ends
