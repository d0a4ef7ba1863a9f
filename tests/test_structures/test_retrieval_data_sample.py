from mmengine.structures import BaseDataElement

from mmtpr.structures import RetrievalDataSample


def test_facts_are_kept_as_mmengine_keeps_them():
    facts = dict(role='train', pid=3, attributes=[0, 1], box=dict(a=[1]))
    sample = RetrievalDataSample(metainfo=facts)
    plain = BaseDataElement(metainfo=facts)
    assert sample.metainfo == plain.metainfo
    assert sample.metainfo_keys() == plain.metainfo_keys()
    # What can be changed from outside is copied.
    facts['attributes'].append(1)
    facts['box']['a'].append(2)
    assert sample.attributes == [0, 1]
    assert sample.box == dict(a=[1])
